// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a character stream: its input, its clients and its descriptors on the loop.
 *
 * Input goes from the host to the device only as fast as the device has room. If it has none, the
 * input's descriptor leaves the loop until chardev_resume(). A unix socket has one client at a
 * time: the next one waits in the backlog. What a client typed before it left is kept and given to
 * the guest before the input of the next client. Output is in chardev_output.c, and the opening of
 * descriptors in chardev_host.c.
 */
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

#include "jail/jail.h"
#include "util/clock.h"
#include "util/reopen.h"

#define LEFTOVER_SIZE 65536u /* what a client typed before it left */

static void input_ready(void *opaque, uint32_t events);
static void stop_input(struct chardev *chardev);
static void output_ready(void *opaque, uint32_t events);

static void drop_client(struct chardev *chardev)
{
	event_source_remove(chardev->input_source);
	event_source_remove(chardev->output_source);
	chardev->input_source = NULL;
	chardev->output_source = NULL;
	chardev->input_ended = false;
	pthread_mutex_lock(&chardev->lock);
	chardev->connected = false;
	chardev->armed = false;
	chardev->stalled = false;
	if (chardev->host.is_socket) {
		chardev_host_close_input(&chardev->host);
		if (chardev->host.output_fd >= 0)
			close(chardev->host.output_fd);
		chardev->host.output_fd = -1;
	}
	pthread_cond_broadcast(&chardev->room);
	pthread_mutex_unlock(&chardev->lock);
	if (chardev->host.is_socket && chardev->listen_source)
		event_source_modify(chardev->listen_source, EPOLLIN);
}

/* Flushes the output, and arranges to write the rest once that is possible. Loop's thread. */
static void flush_and_watch(void *opaque)
{
	struct chardev *chardev = opaque;
	bool writable;
	int status;

	pthread_mutex_lock(&chardev->lock);
	if (!chardev->connected) {
		chardev->armed = false;
		pthread_mutex_unlock(&chardev->lock);
		return;
	}
	status = chardev_write_pending(chardev);
	chardev->armed = status == -EAGAIN;
	writable = chardev->refused && chardev->count <= CHARDEV_OUTPUT_SIZE / 2;
	if (writable)
		chardev->refused = false;
	pthread_mutex_unlock(&chardev->lock);
	if (chardev->writer)
		chardev_complain(chardev);
	else if (status == -EAGAIN && chardev->output_source)
		event_source_modify(chardev->output_source, EPOLLOUT);
	else if (status < 0)
		output_ready(chardev, EPOLLERR);
	else if (chardev->output_source)
		event_source_modify(chardev->output_source, 0);
	if (writable && chardev->ops->writable)
		chardev->ops->writable(chardev->opaque);
}

static void timer_ready(void *opaque, uint32_t events)
{
	struct chardev *chardev = opaque;
	uint64_t expirations;

	if (read(chardev->timer_fd, &expirations, sizeof(expirations)) > 0)
		flush_and_watch(chardev);
}

/*
 * The client has left while the guest takes no input: keeps what it typed, and lets the next client
 * in. Otherwise nothing would notice the end of its input.
 */
static void client_left(struct chardev *chardev)
{
	if (!chardev->leftover)
		chardev->leftover = malloc(LEFTOVER_SIZE);
	if (chardev->leftover && !chardev->input_ended) {
		memmove(chardev->leftover, chardev->leftover + chardev->leftover_at,
			chardev->leftover_count);
		chardev->leftover_at = 0;
		chardev->leftover_count += chardev_host_drain(
			&chardev->host, chardev->leftover + chardev->leftover_count,
			LEFTOVER_SIZE - chardev->leftover_count);
	}
	drop_client(chardev);
}

static void output_ready(void *opaque, uint32_t events)
{
	struct chardev *chardev = opaque;

	if (!(events & (EPOLLERR | EPOLLHUP))) {
		flush_and_watch(chardev);
		return;
	}
	pthread_mutex_lock(&chardev->lock);
	chardev->connected = false;
	chardev->armed = false;
	pthread_cond_broadcast(&chardev->room);
	pthread_mutex_unlock(&chardev->lock);
	/* The client reads no more, but may still type: only wait for its end. */
	if (chardev->host.is_socket && !(events & EPOLLHUP) && chardev->output_source) {
		event_source_modify(chardev->output_source, 0);
		return;
	}
	/* The reader has left. What it sent before is still read, up to the end of file. */
	event_source_remove(chardev->output_source);
	chardev->output_source = NULL;
	if (chardev->host.is_socket && (chardev->input_ended || !chardev->input_source))
		client_left(chardev);
}

static void end_input(struct chardev *chardev)
{
	/*
	 * A client that sends no more may still want to read: its connection stays until it hangs
	 * up.
	 */
	if (chardev->host.is_socket && !chardev->output_source) {
		drop_client(chardev);
		return;
	}
	event_source_remove(chardev->input_source);
	chardev->input_source = NULL;
	chardev->input_ended = true;
	if (chardev->host.is_socket)
		return;
	chardev_host_close_input(&chardev->host);
}

/* Stops reading until chardev_resume(). */
static void stop_input(struct chardev *chardev)
{
	pthread_mutex_lock(&chardev->lock);
	chardev->input_stopped = true;
	pthread_mutex_unlock(&chardev->lock);
	/* Removed, not masked: a hang-up cannot be masked and would spin. */
	event_source_remove(chardev->input_source);
	chardev->input_source = NULL;
	/*
	 * The hang-up came first, while the input was still watched: no other event would report
	 * it.
	 */
	if (chardev->host.is_socket && !chardev->output_source) {
		client_left(chardev);
		return;
	}
	/* The device may have made room in between. */
	if (chardev->ops->room(chardev->opaque))
		chardev_resume(chardev);
}

/*
 * read(2), but -EAGAIN while the terminal belongs to the shell: terminal_changed() is called when
 * it is ours again. If it became ours just after the read, nothing calls, so it is read again.
 */
static ssize_t read_input(struct chardev *chardev, uint8_t *data, size_t room)
{
	ssize_t length = read(chardev->host.input_fd, data, room);

	if (length >= 0 || errno != EIO || !chardev->terminal_watch)
		return length;
	if (!terminal_watch_lost(chardev->terminal_watch))
		return read(chardev->host.input_fd, data, room);
	errno = EAGAIN;
	return -1;
}

static void input_ready(void *opaque, uint32_t events)
{
	struct chardev *chardev = opaque;
	uint8_t data[CHARDEV_INPUT_SIZE];
	size_t room = chardev->ops->room(chardev->opaque);
	bool quit = false;
	ssize_t length;

	if (room > sizeof(data))
		room = sizeof(data);
	if (room == 0) {
		stop_input(chardev);
		return;
	}
	length = read_input(chardev, data, room);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0) {
		end_input(chardev);
		return;
	}
	if (chardev->host.terminal)
		length = (ssize_t)chardev_host_filter(&chardev->host, data, (size_t)length, &quit);
	if (quit)
		chardev->ops->quit(chardev->opaque);
	pthread_mutex_lock(&chardev->lock);
	chardev->bytes_in += (uint64_t)length;
	pthread_mutex_unlock(&chardev->lock);
	if (length)
		chardev->ops->input(chardev->opaque, data, (size_t)length);
}

/* Gives the guest what a client typed before it left. Returns whether all of it was given. */
static bool give_leftover(struct chardev *chardev)
{
	while (chardev->leftover_count) {
		size_t room = chardev->ops->room(chardev->opaque);

		if (room > chardev->leftover_count)
			room = chardev->leftover_count;
		if (room > CHARDEV_INPUT_SIZE)
			room = CHARDEV_INPUT_SIZE;
		if (room == 0)
			return false;
		chardev->ops->input(chardev->opaque, chardev->leftover + chardev->leftover_at,
				    room);
		chardev->leftover_at += room;
		chardev->leftover_count -= room;
		pthread_mutex_lock(&chardev->lock);
		chardev->bytes_in += room;
		pthread_mutex_unlock(&chardev->lock);
	}
	return true;
}

static void watch_input(void *opaque)
{
	struct chardev *chardev = opaque;
	bool stopped;

	if (!give_leftover(chardev)) {
		stop_input(chardev);
		return;
	}
	if (chardev->host.input_fd < 0 || chardev->input_source || chardev->input_ended)
		return;
	chardev->input_source = event_loop_add(chardev->loop, chardev->host.input_fd, EPOLLIN,
					       input_ready, chardev);
	if (chardev->input_source)
		return;
	/*
	 * A regular file cannot be polled: it is always ready. So read one piece, then let others
	 * run.
	 */
	input_ready(chardev, EPOLLIN);
	pthread_mutex_lock(&chardev->lock);
	stopped = chardev->input_stopped;
	pthread_mutex_unlock(&chardev->lock);
	if (!stopped && chardev->host.input_fd >= 0 &&
	    event_loop_post(chardev->loop, watch_input, chardev) < 0)
		log_warn(chardev->log, "console: out of memory; input stops");
}

/* Another job reads the terminal meanwhile, and we must not even try to read it. */
static void terminal_changed(void *opaque, bool foreground)
{
	struct chardev *chardev = opaque;

	if (foreground) {
		watch_input(chardev);
	} else {
		event_source_remove(chardev->input_source);
		chardev->input_source = NULL;
	}
}

void chardev_resume(struct chardev *chardev)
{
	bool stopped;

	pthread_mutex_lock(&chardev->lock);
	stopped = chardev->input_stopped;
	chardev->input_stopped = false;
	pthread_mutex_unlock(&chardev->lock);
	if (stopped && event_loop_post(chardev->loop, watch_input, chardev) < 0)
		log_warn(chardev->log, "console: out of memory; input stops");
}

/* A client needs two descriptors. If only one is left, the client stays in the backlog. */
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
	struct chardev *chardev = opaque;
	const struct itimerspec later = {.it_value = {.tv_sec = 1}};
	int fd = accept_client(chardev->host.listen_fd);

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	/*
	 * Out of descriptors or memory. The client stays in the backlog, which would wake us for
	 * ever.
	 */
	if (fd < 0) {
		event_source_modify(chardev->listen_source, 0);
		timerfd_settime(chardev->retry_fd, 0, &later, NULL);
		return;
	}
	/* One client at a time: the next waits in the backlog. */
	event_source_modify(chardev->listen_source, 0);
	chardev->host.input_fd = fd;
	/* The loop can watch a descriptor only once. */
	chardev->host.output_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (chardev->host.output_fd < 0) {
		drop_client(chardev);
		return;
	}
	chardev->output_source = event_loop_add(chardev->loop, chardev->host.output_fd, 0,
						output_ready, chardev);
	if (!chardev->output_source) {
		drop_client(chardev);
		return;
	}
	watch_input(chardev);
	pthread_mutex_lock(&chardev->lock);
	chardev->connected = true;
	pthread_mutex_unlock(&chardev->lock);
	flush_and_watch(chardev);
}

static void retry_ready(void *opaque, uint32_t events)
{
	struct chardev *chardev = opaque;
	uint64_t expirations;

	if (read(chardev->retry_fd, &expirations, sizeof(expirations)) > 0)
		event_source_modify(chardev->listen_source, EPOLLIN);
}

void chardev_describe(struct chardev *chardev, json_t *object)
{
	pthread_mutex_lock(&chardev->lock);
	json_object_set_new(object, "bytes_in", json_integer((json_int_t)chardev->bytes_in));
	json_object_set_new(object, "bytes_out",
			    json_integer((json_int_t)atomic_load(&chardev->bytes_out)));
	json_object_set_new(object, "bytes_dropped",
			    json_integer((json_int_t)atomic_load(&chardev->bytes_dropped)));
	json_object_set_new(object, "connected", json_boolean(chardev->connected));
	pthread_mutex_unlock(&chardev->lock);
}

/* file_writer_config.room */
static void file_has_room(void *opaque)
{
	struct chardev *chardev = opaque;

	if (event_loop_post(chardev->loop, flush_and_watch, chardev) < 0)
		log_warn(chardev->log, "console: out of memory; output stops");
}

static int writer_create(struct chardev *chardev)
{
	const struct file_writer_config config = {.name = "console",
						  .write = chardev_write_file,
						  .room = file_has_room,
						  .opaque = chardev};

	chardev->file.fd = chardev->host.output_fd;
	chardev->file.limit = chardev->host.file_limit;
	return file_writer_create(&config, &chardev->writer);
}

static int start_watching(struct chardev *chardev)
{
	chardev->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (chardev->timer_fd < 0)
		return -errno;
	chardev->timer_source = event_loop_add(chardev->loop, chardev->timer_fd, EPOLLIN,
					       timer_ready, chardev);
	if (!chardev->timer_source)
		return -ENOMEM;
	if (chardev->host.listen_fd >= 0) {
		chardev->retry_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (chardev->retry_fd < 0)
			return -errno;
		chardev->retry_source = event_loop_add(chardev->loop, chardev->retry_fd, EPOLLIN,
						       retry_ready, chardev);
		if (!chardev->retry_source)
			return -ENOMEM;
		chardev->listen_source = event_loop_add(chardev->loop, chardev->host.listen_fd,
							EPOLLIN, client_connects, chardev);
		if (!chardev->listen_source)
			return -ENOMEM;
	}
	if (chardev->host.output_fd >= 0) {
		chardev->connected = true;
		chardev->output_source = event_loop_add(chardev->loop, chardev->host.output_fd, 0,
							output_ready, chardev);
		if (!chardev->output_source && writer_create(chardev) < 0)
			return -ENOMEM;
	}
	if (chardev->host.terminal) {
		chardev->terminal_watch = terminal_watch_create(
			chardev->host.terminal, chardev->loop, terminal_changed, chardev);
		if (!chardev->terminal_watch)
			return -ENOMEM;
	}
	if (chardev->host.input_fd >= 0)
		return event_loop_post(chardev->loop, watch_input, chardev);
	return 0;
}

int chardev_open(const char *option, const char *spec, struct event_loop *loop, struct log *log,
		 const struct chardev_ops *ops, void *opaque, struct chardev **out,
		 struct error *err)
{
	struct chardev *chardev = calloc(1, sizeof(*chardev));
	pthread_condattr_t attributes;
	int status;

	if (!chardev)
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	chardev->loop = loop;
	chardev->log = log;
	chardev->ops = ops;
	chardev->opaque = opaque;
	chardev->timer_fd = -1;
	chardev->retry_fd = -1;
	pthread_mutex_init(&chardev->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&chardev->room, &attributes);
	pthread_condattr_destroy(&attributes);
	status = chardev_host_open(&chardev->host, option, spec, err);
	if (status == 0 && chardev->host.file_path)
		reopen_add(log->reopen, chardev->host.output_fd, chardev->host.file_path);
	if (status == 0) {
		status = start_watching(chardev);
		if (status < 0)
			error_set_errno(err, status, "--%s: cannot watch %s", option, spec);
	}
	if (status < 0) {
		chardev_close(chardev);
		return status;
	}
	*out = chardev;
	return 0;
}

bool chardev_has_socket(const struct chardev *chardev)
{
	return chardev->host.is_socket || chardev->host.output_is_socket;
}

static int enter_jail(void *opaque, struct error *err)
{
	/* The same jail as the threads of disks: they make calls on an open file. */
	return jail_enter_thread(opaque, JAIL_THREAD_SWAP, err);
}

int chardev_start(struct chardev *chardev, struct jail *jail, struct error *err)
{
	return chardev->writer ? file_writer_start(chardev->writer, enter_jail, jail, err) : 0;
}

void chardev_close(struct chardev *chardev)
{
	bool ended;

	if (!chardev)
		return;
	chardev_flush(chardev);
	ended = file_writer_end(chardev->writer, FILE_WRITER_END_MS);
	if (chardev->writer)
		chardev_complain(chardev);
	terminal_watch_destroy(chardev->terminal_watch);
	event_source_remove(chardev->listen_source);
	event_source_remove(chardev->input_source);
	event_source_remove(chardev->output_source);
	event_source_remove(chardev->timer_source);
	event_source_remove(chardev->retry_source);
	if (!ended) {
		log_warn(chardev->log, "console: output is lost: its file's disk does not answer");
		chardev->host.own_output = false;
	}
	chardev_host_close(&chardev->host);
	if (chardev->timer_fd >= 0)
		close(chardev->timer_fd);
	if (chardev->retry_fd >= 0)
		close(chardev->retry_fd);
	free(chardev->leftover);
	/* The thread still writes: until the process ends, it needs the descriptor and the stream.
	 */
	if (!ended)
		return;
	file_writer_destroy(chardev->writer);
	pthread_mutex_destroy(&chardev->lock);
	pthread_cond_destroy(&chardev->room);
	free(chardev);
}
