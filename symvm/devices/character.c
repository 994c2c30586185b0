// SPDX-License-Identifier: BSD-2-Clause
#include "devices/character.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "devices/character_file.h"
#include "devices/character_host.h"
#include "util/clock.h"
#include "util/reopen.h"

/* Bytes gather for this long, so that a line costs one write(2) and not eighty. */
#define FLUSH_DELAY_NS 2000000L
#define STALL_MS       1000
#define LEFTOVER_SIZE  65536u /* what a client typed before it left */

struct character {
	struct event_loop *loop;
	struct log *log;
	const struct character_ops *ops;
	void *opaque;

	struct character_host host;
	bool is_file; /* always writable; epoll refuses it */

	/* Loop's thread only. */
	struct event_source *listen_source;
	struct event_source *input_source;
	struct event_source *output_source;
	struct event_source *timer_source;
	struct event_source *retry_source;
	struct terminal_watch *terminal_watch;
	bool input_ended; /* the client sends no more */
	int timer_fd;
	int retry_fd;	   /* a timer: the host had no descriptor for a client */
	uint8_t *leftover; /* input of a client that left; given before the next one's */
	size_t leftover_at, leftover_count;
	struct character_file file; /* where is_file */

	pthread_mutex_t lock;
	pthread_cond_t room; /* output was taken */
	uint8_t output[CHARACTER_OUTPUT_SIZE];
	size_t head, count;
	bool armed;   /* the timer or EPOLLOUT will flush */
	bool refused; /* a writer wants ops->writable */
	bool stalled; /* the reader made us wait too long */
	bool input_stopped;
	bool connected;
	uint64_t bytes_in, bytes_out, bytes_dropped;
};

static void input_ready(void *opaque, uint32_t events);
static void stop_input(struct character *character);
static void output_ready(void *opaque, uint32_t events);

static void drop_client(struct character *character)
{
	event_source_remove(character->input_source);
	event_source_remove(character->output_source);
	character->input_source = NULL;
	character->output_source = NULL;
	character->input_ended = false;
	pthread_mutex_lock(&character->lock);
	character->connected = false;
	character->armed = false;
	character->stalled = false;
	if (character->host.is_socket) {
		character_host_close_input(&character->host);
		if (character->host.output_fd >= 0)
			close(character->host.output_fd);
		character->host.output_fd = -1;
	}
	pthread_cond_broadcast(&character->room);
	pthread_mutex_unlock(&character->lock);
	if (character->host.is_socket && character->listen_source)
		event_source_modify(character->listen_source, EPOLLIN);
}

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

/* Writes what the reader takes. Returns 0, -EAGAIN (more is left) or another -errno. Locked. */
static int write_pending(struct character *character)
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

/* Flushes, and sees to it that what is left is written once that is possible. Loop's thread. */
static void flush_and_watch(struct character *character)
{
	bool writable;
	int status;

	pthread_mutex_lock(&character->lock);
	if (!character->connected) {
		character->armed = false;
		pthread_mutex_unlock(&character->lock);
		return;
	}
	status = write_pending(character);
	character->armed = status == -EAGAIN;
	writable = character->refused && character->count <= CHARACTER_OUTPUT_SIZE / 2;
	if (writable)
		character->refused = false;
	pthread_mutex_unlock(&character->lock);
	if (status == -EAGAIN && character->output_source)
		event_source_modify(character->output_source, EPOLLOUT);
	else if (status < 0)
		output_ready(character, EPOLLERR);
	else if (character->output_source)
		event_source_modify(character->output_source, 0);
	if (writable && character->ops->writable)
		character->ops->writable(character->opaque);
}

static void timer_ready(void *opaque, uint32_t events)
{
	struct character *character = opaque;
	uint64_t expirations;

	if (read(character->timer_fd, &expirations, sizeof(expirations)) > 0)
		flush_and_watch(character);
}

/*
 * The client is gone while the guest takes no input: keeps what it typed, and lets the next one
 * in. Nobody would see the end of its input otherwise.
 */
static void client_left(struct character *character)
{
	if (!character->leftover)
		character->leftover = malloc(LEFTOVER_SIZE);
	if (character->leftover && !character->input_ended) {
		memmove(character->leftover, character->leftover + character->leftover_at,
			character->leftover_count);
		character->leftover_at = 0;
		character->leftover_count += character_host_drain(
			&character->host, character->leftover + character->leftover_count,
			LEFTOVER_SIZE - character->leftover_count);
	}
	drop_client(character);
}

static void output_ready(void *opaque, uint32_t events)
{
	struct character *character = opaque;

	if (!(events & (EPOLLERR | EPOLLHUP))) {
		flush_and_watch(character);
		return;
	}
	pthread_mutex_lock(&character->lock);
	character->connected = false;
	character->armed = false;
	pthread_cond_broadcast(&character->room);
	pthread_mutex_unlock(&character->lock);
	/* It reads no more, but may still type: only its end is waited for. */
	if (character->host.is_socket && !(events & EPOLLHUP) && character->output_source) {
		event_source_modify(character->output_source, 0);
		return;
	}
	/* The reader is gone; what it sent before is still read, up to the end of file. */
	event_source_remove(character->output_source);
	character->output_source = NULL;
	if (character->host.is_socket && (character->input_ended || !character->input_source))
		client_left(character);
}

static void end_input(struct character *character)
{
	/* A client that sends no more may still want to read: it leaves when it hangs up. */
	if (character->host.is_socket && !character->output_source) {
		drop_client(character);
		return;
	}
	event_source_remove(character->input_source);
	character->input_source = NULL;
	character->input_ended = true;
	if (character->host.is_socket)
		return;
	character_host_close_input(&character->host);
}

/* Stops reading until character_resume(). */
static void stop_input(struct character *character)
{
	pthread_mutex_lock(&character->lock);
	character->input_stopped = true;
	pthread_mutex_unlock(&character->lock);
	/* Removed, not masked: a hang-up cannot be masked and would spin. */
	event_source_remove(character->input_source);
	character->input_source = NULL;
	/* The device may have made room in between. */
	if (character->ops->room(character->opaque))
		character_resume(character);
}

static void input_ready(void *opaque, uint32_t events)
{
	struct character *character = opaque;
	uint8_t data[CHARACTER_INPUT_SIZE];
	size_t room = character->ops->room(character->opaque);
	bool quit = false;
	ssize_t length;

	if (room > sizeof(data))
		room = sizeof(data);
	if (room == 0) {
		stop_input(character);
		return;
	}
	length = read(character->host.input_fd, data, room);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* The terminal is the shell's now: terminal_changed() tells when it is ours again. */
	if (length < 0 && errno == EIO && character->terminal_watch &&
	    terminal_watch_lost(character->terminal_watch))
		return;
	if (length <= 0) {
		end_input(character);
		return;
	}
	if (character->host.terminal)
		length = (ssize_t)character_host_filter(&character->host, data, (size_t)length,
							&quit);
	if (quit)
		character->ops->quit(character->opaque);
	pthread_mutex_lock(&character->lock);
	character->bytes_in += (uint64_t)length;
	pthread_mutex_unlock(&character->lock);
	if (length)
		character->ops->input(character->opaque, data, (size_t)length);
}

/* Gives the guest what a client typed that left meanwhile. Whether all of it is given. */
static bool give_leftover(struct character *character)
{
	while (character->leftover_count) {
		size_t room = character->ops->room(character->opaque);

		if (room > character->leftover_count)
			room = character->leftover_count;
		if (room > CHARACTER_INPUT_SIZE)
			room = CHARACTER_INPUT_SIZE;
		if (room == 0)
			return false;
		character->ops->input(character->opaque,
				      character->leftover + character->leftover_at, room);
		character->leftover_at += room;
		character->leftover_count -= room;
		pthread_mutex_lock(&character->lock);
		character->bytes_in += room;
		pthread_mutex_unlock(&character->lock);
	}
	return true;
}

static void watch_input(void *opaque)
{
	struct character *character = opaque;
	bool stopped;

	if (!give_leftover(character)) {
		stop_input(character);
		return;
	}
	if (character->host.input_fd < 0 || character->input_source || character->input_ended)
		return;
	character->input_source = event_loop_add(character->loop, character->host.input_fd, EPOLLIN,
						 input_ready, character);
	if (character->input_source)
		return;
	/* A regular file cannot be polled: it is always ready. A piece, then others come first. */
	input_ready(character, EPOLLIN);
	pthread_mutex_lock(&character->lock);
	stopped = character->input_stopped;
	pthread_mutex_unlock(&character->lock);
	if (!stopped && character->host.input_fd >= 0 &&
	    event_loop_post(character->loop, watch_input, character) < 0)
		log_warn(character->log, "console: out of memory, input stops");
}

/* Another job reads the terminal meanwhile, and we must not even look. */
static void terminal_changed(void *opaque, bool foreground)
{
	struct character *character = opaque;

	if (foreground) {
		watch_input(character);
	} else {
		event_source_remove(character->input_source);
		character->input_source = NULL;
	}
}

void character_resume(struct character *character)
{
	bool stopped;

	pthread_mutex_lock(&character->lock);
	stopped = character->input_stopped;
	character->input_stopped = false;
	pthread_mutex_unlock(&character->lock);
	if (stopped && event_loop_post(character->loop, watch_input, character) < 0)
		log_warn(character->log, "console: out of memory, input stops");
}

static void client_connects(void *opaque, uint32_t events)
{
	struct character *character = opaque;
	const struct itimerspec later = {.it_value = {.tv_sec = 1}};
	int fd = accept4(character->host.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	/* Out of descriptors or memory. It stays in the backlog, which would wake us for ever. */
	if (fd < 0) {
		event_source_modify(character->listen_source, 0);
		timerfd_settime(character->retry_fd, 0, &later, NULL);
		return;
	}
	/* One client at a time: the next waits in the backlog. */
	event_source_modify(character->listen_source, 0);
	character->host.input_fd = fd;
	/* The loop watches a descriptor once only. */
	character->host.output_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (character->host.output_fd < 0) {
		drop_client(character);
		return;
	}
	watch_input(character);
	character->output_source = event_loop_add(character->loop, character->host.output_fd, 0,
						  output_ready, character);
	pthread_mutex_lock(&character->lock);
	character->connected = true;
	pthread_mutex_unlock(&character->lock);
	flush_and_watch(character);
}

static void retry_ready(void *opaque, uint32_t events)
{
	struct character *character = opaque;
	uint64_t expirations;

	if (read(character->retry_fd, &expirations, sizeof(expirations)) > 0)
		event_source_modify(character->listen_source, EPOLLIN);
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
		int status = write_pending(character);

		if (status != -EAGAIN)
			break;
		if (before == character->count)
			nanosleep(&pause, NULL);
	}
	pthread_mutex_unlock(&character->lock);
}

void character_describe(struct character *character, json_t *object)
{
	pthread_mutex_lock(&character->lock);
	json_object_set_new(object, "bytes_in", json_integer((json_int_t)character->bytes_in));
	json_object_set_new(object, "bytes_out", json_integer((json_int_t)character->bytes_out));
	json_object_set_new(object, "bytes_dropped",
			    json_integer((json_int_t)character->bytes_dropped));
	json_object_set_new(object, "connected", json_boolean(character->connected));
	pthread_mutex_unlock(&character->lock);
}

static int start_watching(struct character *character)
{
	character->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (character->timer_fd < 0)
		return -errno;
	character->timer_source = event_loop_add(character->loop, character->timer_fd, EPOLLIN,
						 timer_ready, character);
	if (!character->timer_source)
		return -ENOMEM;
	if (character->host.listen_fd >= 0) {
		character->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (character->retry_fd < 0)
			return -errno;
		character->retry_source = event_loop_add(character->loop, character->retry_fd,
							 EPOLLIN, retry_ready, character);
		if (!character->retry_source)
			return -ENOMEM;
		character->listen_source = event_loop_add(character->loop,
							  character->host.listen_fd, EPOLLIN,
							  client_connects, character);
		if (!character->listen_source)
			return -ENOMEM;
	}
	if (character->host.output_fd >= 0) {
		character->connected = true;
		character->output_source = event_loop_add(
			character->loop, character->host.output_fd, 0, output_ready, character);
		character->is_file = !character->output_source;
		character->file.fd = character->host.output_fd;
		character->file.limit = character->host.file_limit;
	}
	if (character->host.terminal) {
		character->terminal_watch = terminal_watch_create(
			character->host.terminal, character->loop, terminal_changed, character);
		if (!character->terminal_watch)
			return -ENOMEM;
	}
	if (character->host.input_fd >= 0)
		return event_loop_post(character->loop, watch_input, character);
	return 0;
}

int character_open(const char *option, const char *spec, struct event_loop *loop, struct log *log,
		   const struct character_ops *ops, void *opaque, struct character **out,
		   struct error *err)
{
	struct character *character = calloc(1, sizeof(*character));
	pthread_condattr_t attributes;
	int status;

	if (!character)
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	character->loop = loop;
	character->log = log;
	character->ops = ops;
	character->opaque = opaque;
	character->timer_fd = -1;
	character->retry_fd = -1;
	pthread_mutex_init(&character->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&character->room, &attributes);
	pthread_condattr_destroy(&attributes);
	status = character_host_open(&character->host, option, spec, err);
	if (status == 0 && character->host.file_path)
		reopen_add(log->reopen, character->host.output_fd, character->host.file_path);
	if (status == 0) {
		status = start_watching(character);
		if (status < 0)
			error_set_errno(err, status, "--%s: cannot watch %s", option, spec);
	}
	if (status < 0) {
		character_close(character);
		return status;
	}
	*out = character;
	return 0;
}

void character_close(struct character *character)
{
	if (!character)
		return;
	character_flush(character);
	terminal_watch_destroy(character->terminal_watch);
	event_source_remove(character->listen_source);
	event_source_remove(character->input_source);
	event_source_remove(character->output_source);
	event_source_remove(character->timer_source);
	event_source_remove(character->retry_source);
	character_host_close(&character->host);
	if (character->timer_fd >= 0)
		close(character->timer_fd);
	if (character->retry_fd >= 0)
		close(character->retry_fd);
	free(character->leftover);
	pthread_mutex_destroy(&character->lock);
	pthread_cond_destroy(&character->room);
	free(character);
}
