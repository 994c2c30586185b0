// SPDX-License-Identifier: BSD-2-Clause
/* The output of a character stream: a ring that the device's threads fill and the loop empties. */
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

static ssize_t write_some(struct character *character, const uint8_t *data, size_t length)
{
	if (character->host.is_socket || character->host.output_is_socket)
		return send(character->host.output_fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A pipe that polls writable takes PIPE_BUF bytes without blocking. */
	if (length > 4096)
		length = 4096;
	return write(character->host.output_fd, data, length);
}

/* A file never makes anybody wait: what it does not take is lost, and counted. Locked. */
static int write_to_file(struct character *character)
{
	while (character->count) {
		size_t run = CHARACTER_OUTPUT_SIZE - character->head, lost;

		if (run > character->count)
			run = character->count;
		lost = character_file_write(&character->file, character->output + character->head,
					    run, character->log);
		character->bytes_dropped += lost;
		character->bytes_out += run - lost;
		character->head = (character->head + run) % CHARACTER_OUTPUT_SIZE;
		character->count -= run;
	}
	pthread_cond_broadcast(&character->room);
	return 0;
}

int character_write_pending(struct character *character)
{
	if (character->is_file)
		return write_to_file(character);
	while (character->count) {
		size_t run = CHARACTER_OUTPUT_SIZE - character->head;
		ssize_t done;

		if (run > character->count)
			run = character->count;
		done = write_some(character, character->output + character->head, run);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
		character->head = (character->head + (size_t)done) % CHARACTER_OUTPUT_SIZE;
		character->count -= (size_t)done;
		character->bytes_out += (uint64_t)done;
		character->stalled = false;
		pthread_cond_broadcast(&character->room);
		/* A blocking descriptor: poll again before the next piece. */
		if (!character->host.is_socket && character->count)
			return -EAGAIN;
	}
	return 0;
}

static void append(struct character *character, const uint8_t *data, size_t length)
{
	size_t tail = (character->head + character->count) % CHARACTER_OUTPUT_SIZE;
	size_t run = CHARACTER_OUTPUT_SIZE - tail;

	if (run > length)
		run = length;
	memcpy(character->output + tail, data, run);
	memcpy(character->output, data + run, length - run);
	character->count += length;
}

/* Waits for room. Returns false when the reader did not move for too long. Locked. */
static bool wait_for_room(struct character *character)
{
	struct timespec until = clock_deadline(CLOCK_MONOTONIC, STALL_MS);

	while (character->count == CHARACTER_OUTPUT_SIZE && character->connected) {
		if (pthread_cond_timedwait(&character->room, &character->lock, &until) ==
		    ETIMEDOUT) {
			character->stalled = character->count == CHARACTER_OUTPUT_SIZE;
			return !character->stalled;
		}
	}
	return true;
}

/* Makes room in a ring that nobody reads, by forgetting the oldest bytes. Locked. */
static void forget_oldest(struct character *character, size_t length)
{
	size_t space = CHARACTER_OUTPUT_SIZE - character->count;

	if (length <= space)
		return;
	length -= space;
	character->head = (character->head + length) % CHARACTER_OUTPUT_SIZE;
	character->count -= length;
	character->bytes_dropped += length;
}

static size_t write_locked(struct character *character, const uint8_t *data, size_t length,
			   bool wait)
{
	size_t taken = 0;

	while (taken < length) {
		size_t piece = length - taken;
		size_t space;

		if (!character->connected && character->host.listen_fd < 0) {
			character->bytes_dropped += piece;
			return length;
		}
		if (piece > CHARACTER_OUTPUT_SIZE)
			piece = CHARACTER_OUTPUT_SIZE;
		if (!character->connected)
			forget_oldest(character, piece);
		space = CHARACTER_OUTPUT_SIZE - character->count;
		if (space == 0) {
			if (!wait && !character->stalled) {
				character->refused = true;
				return taken;
			}
			if (character->stalled || !wait_for_room(character)) {
				character->bytes_dropped += length - taken;
				return length;
			}
			continue;
		}
		if (piece > space)
			piece = space;
		append(character, data + taken, piece);
		taken += piece;
	}
	return taken;
}

size_t character_write(struct character *character, const uint8_t *data, size_t length, bool wait)
{
	const struct itimerspec delay = {.it_value = {.tv_nsec = FLUSH_DELAY_NS}};
	bool arm;

	pthread_mutex_lock(&character->lock);
	length = write_locked(character, data, length, wait);
	arm = !character->armed && character->connected && character->count;
	if (arm)
		character->armed = true;
	pthread_mutex_unlock(&character->lock);
	if (arm)
		timerfd_settime(character->timer_fd, 0, &delay, NULL);
	return length;
}

void character_flush(struct character *character)
{
	struct timespec pause = {.tv_nsec = 10000000};

	pthread_mutex_lock(&character->lock);
	for (unsigned tries = 0; tries < 100 && character->connected; tries++) {
		size_t before = character->count;
		int status = character_write_pending(character);

		if (status != -EAGAIN)
			break;
		if (before == character->count)
			nanosleep(&pause, NULL);
	}
	pthread_mutex_unlock(&character->lock);
}
