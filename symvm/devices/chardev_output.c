// SPDX-License-Identifier: BSD-2-Clause
/*
 * The output of a character stream: a ring that the device's threads fill and the loop empties. The
 * loop never writes to a file, whose disk may hang: it hands the bytes to the file's thread.
 */
#include "devices/chardev_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

/* Bytes gather for this long, so that a line costs one write(2) and not eighty. */
#define FLUSH_DELAY_NS 2000000L
#define STALL_MS       1000
#define PIECE_SIZE     4096u /* a pipe that polls writable takes PIPE_BUF bytes without blocking */
#define COMPLAINT_NS   (60 * NS_PER_SECOND)

static ssize_t write_some(struct chardev *chardev, const uint8_t *data, size_t length)
{
	if (chardev->host.is_socket || chardev->host.output_is_socket)
		return send(chardev->host.output_fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (length > PIECE_SIZE)
		length = PIECE_SIZE;
	return write(chardev->host.output_fd, data, length);
}

void chardev_write_file(void *opaque, const uint8_t *data, size_t length)
{
	struct chardev *chardev = opaque;
	int status = 0;
	size_t lost = chardev_file_write(&chardev->file, data, length, &status);

	atomic_fetch_add(&chardev->bytes_dropped, lost);
	atomic_fetch_add(&chardev->bytes_out, length - lost);
	if (status < 0)
		atomic_store(&chardev->file_status, status);
}

void chardev_complain(struct chardev *chardev)
{
	uint64_t now = clock_now_ns();
	int status;

	if (now < chardev->silent_until_ns)
		return;
	status = atomic_exchange(&chardev->file_status, 0);
	if (status == 0)
		return;
	chardev->silent_until_ns = now + COMPLAINT_NS;
	log_warn(chardev->log, "console: output is lost: its file cannot be written: %s",
		 strerror(-status));
}

/* Hands output to the file's thread. Locked. */
static int write_to_file(struct chardev *chardev)
{
	while (chardev->count) {
		size_t run = CHARDEV_OUTPUT_SIZE - chardev->head;

		if (run > chardev->count)
			run = chardev->count;
		if (run > PIECE_SIZE)
			run = PIECE_SIZE;
		if (!file_writer_put(chardev->writer, chardev->output + chardev->head, run))
			return -EAGAIN;
		chardev->head = (chardev->head + run) % CHARDEV_OUTPUT_SIZE;
		chardev->count -= run;
		chardev->stalled = false;
		pthread_cond_broadcast(&chardev->room);
	}
	return 0;
}

int chardev_write_pending(struct chardev *chardev)
{
	if (chardev->writer)
		return write_to_file(chardev);
	while (chardev->count) {
		size_t run = CHARDEV_OUTPUT_SIZE - chardev->head;
		ssize_t done;

		if (run > chardev->count)
			run = chardev->count;
		done = write_some(chardev, chardev->output + chardev->head, run);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		chardev->head = (chardev->head + (size_t)done) % CHARDEV_OUTPUT_SIZE;
		chardev->count -= (size_t)done;
		chardev->bytes_out += (uint64_t)done;
		chardev->stalled = false;
		pthread_cond_broadcast(&chardev->room);
		/* A blocking descriptor: poll again before the next piece. */
		if (!chardev->host.is_socket && chardev->count)
			return -EAGAIN;
	}
	return 0;
}

static void output_append(struct chardev *chardev, const uint8_t *data, size_t length)
{
	size_t tail = (chardev->head + chardev->count) % CHARDEV_OUTPUT_SIZE;
	size_t run = CHARDEV_OUTPUT_SIZE - tail;

	if (run > length)
		run = length;
	memcpy(chardev->output + tail, data, run);
	memcpy(chardev->output, data + run, length - run);
	chardev->count += length;
	chardev->appended += length;
}

/* Waits for room. Returns false if the reader took nothing for too long. Locked. */
static bool wait_for_room(struct chardev *chardev)
{
	struct timespec until = clock_deadline(CLOCK_MONOTONIC, STALL_MS);

	while (chardev->count == CHARDEV_OUTPUT_SIZE && chardev->connected) {
		if (pthread_cond_timedwait(&chardev->room, &chardev->lock, &until) == ETIMEDOUT) {
			chardev->stalled = chardev->count == CHARDEV_OUTPUT_SIZE;
			return !chardev->stalled;
		}
	}
	return true;
}

/* Makes room in a ring that nobody reads: drops the oldest bytes. Locked. */
static void forget_oldest(struct chardev *chardev, size_t length)
{
	size_t space = CHARDEV_OUTPUT_SIZE - chardev->count;

	if (length <= space)
		return;
	length -= space;
	chardev->head = (chardev->head + length) % CHARDEV_OUTPUT_SIZE;
	chardev->count -= length;
	chardev->bytes_dropped += length;
}

static size_t write_locked(struct chardev *chardev, const uint8_t *data, size_t length, bool wait)
{
	size_t taken = 0;

	while (taken < length) {
		size_t piece = length - taken;
		size_t space;

		if (!chardev->connected && chardev->host.listen_fd < 0) {
			chardev->bytes_dropped += piece;
			return length;
		}
		if (piece > CHARDEV_OUTPUT_SIZE)
			piece = CHARDEV_OUTPUT_SIZE;
		if (!chardev->connected)
			forget_oldest(chardev, piece);
		space = CHARDEV_OUTPUT_SIZE - chardev->count;
		if (space == 0) {
			if (!wait && !chardev->stalled) {
				chardev->refused = true;
				return taken;
			}
			if (chardev->stalled || !wait_for_room(chardev)) {
				chardev->bytes_dropped += length - taken;
				return length;
			}
			continue;
		}
		if (piece > space)
			piece = space;
		output_append(chardev, data + taken, piece);
		taken += piece;
	}
	return taken;
}

size_t chardev_write(struct chardev *chardev, const uint8_t *data, size_t length, bool wait)
{
	const struct itimerspec delay = {.it_value = {.tv_nsec = FLUSH_DELAY_NS}};
	bool arm;

	pthread_mutex_lock(&chardev->lock);
	length = write_locked(chardev, data, length, wait);
	arm = !chardev->armed && chardev->connected && chardev->count;
	if (arm)
		chardev->armed = true;
	pthread_mutex_unlock(&chardev->lock);
	if (arm)
		timerfd_settime(chardev->timer_fd, 0, &delay, NULL);
	return length;
}

void chardev_flush(struct chardev *chardev)
{
	struct timespec pause = {.tv_nsec = 10000000};

	pthread_mutex_lock(&chardev->lock);
	for (unsigned tries = 0; tries < 100 && chardev->connected; tries++) {
		size_t before = chardev->count;
		int status = chardev_write_pending(chardev);

		if (status != -EAGAIN)
			break;
		if (before == chardev->count)
			nanosleep(&pause, NULL);
	}
	pthread_mutex_unlock(&chardev->lock);
}

/* What was written already stays in the ring until newer bytes take its place. */
size_t chardev_tail(struct chardev *chardev, char *out, size_t size)
{
	size_t end, start, run;

	pthread_mutex_lock(&chardev->lock);
	if (size > CHARDEV_OUTPUT_SIZE)
		size = CHARDEV_OUTPUT_SIZE;
	if (size > chardev->appended)
		size = (size_t)chardev->appended;
	end = (chardev->head + chardev->count) % CHARDEV_OUTPUT_SIZE;
	start = (end + CHARDEV_OUTPUT_SIZE - size) % CHARDEV_OUTPUT_SIZE;
	run = CHARDEV_OUTPUT_SIZE - start;
	if (run > size)
		run = size;
	memcpy(out, chardev->output + start, run);
	memcpy(out + run, chardev->output, size - run);
	pthread_mutex_unlock(&chardev->lock);
	return size;
}
