// SPDX-License-Identifier: BSD-2-Clause
#include "devices/chardev_internal.h"

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

#include "util/clock.h"
#include "util/reopen.h"

#define LEFTOVER_SIZE 65536u /* what a client typed before it left */

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
	status = character_write_pending(character);
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
	/* The hang-up came first, while the input was still watched: nothing else would tell. */
	if (character->host.is_socket && !character->output_source) {
		client_left(character);
		return;
	}
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

/* A client needs two descriptors: it stays in the backlog if only one is left. */
static int accept_client(int listen_fd)
{
	int second = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0);
	int fd;

	if (second < 0)
		return -1;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	close(second);
	return fd;
}

static void client_connects(void *opaque, uint32_t events)
{
	struct character *character = opaque;
	const struct itimerspec later = {.it_value = {.tv_sec = 1}};
	int fd = accept_client(character->host.listen_fd);

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
	character->output_source = event_loop_add(character->loop, character->host.output_fd, 0,
						  output_ready, character);
	if (!character->output_source) {
		drop_client(character);
		return;
	}
	watch_input(character);
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

bool character_has_socket(const struct character *character)
{
	return character->host.is_socket || character->host.output_is_socket;
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
