// SPDX-License-Identifier: BSD-2-Clause
#include "devices/character.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* Bytes gather for this long, so that a line costs one write(2) and not eighty. */
#define FLUSH_DELAY_NS 2000000L
#define STALL_SECONDS  1
#define ESCAPE_KEY     0x01 /* Ctrl-A */

struct character {
	struct event_loop *loop;
	struct log *log;
	const struct character_ops *ops;
	void *opaque;

	int listen_fd;
	char *socket_path;
	int input_fd;
	int output_fd;
	bool own_input, own_output; /* to be closed by us */
	bool is_socket;
	bool is_file; /* always writable; epoll refuses it */
	bool is_terminal;
	struct termios saved;
	bool escape; /* the last key was Ctrl-A */

	/* Loop's thread only. */
	struct event_source *listen_source;
	struct event_source *input_source;
	struct event_source *output_source;
	struct event_source *timer_source;
	int timer_fd;

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
static void output_ready(void *opaque, uint32_t events);

static void drop_client(struct character *character)
{
	event_source_remove(character->input_source);
	event_source_remove(character->output_source);
	character->input_source = NULL;
	character->output_source = NULL;
	pthread_mutex_lock(&character->lock);
	character->connected = false;
	character->armed = false;
	character->stalled = false;
	if (character->is_socket) {
		close(character->input_fd);
		if (character->output_fd >= 0)
			close(character->output_fd);
		character->input_fd = -1;
		character->output_fd = -1;
	}
	pthread_cond_broadcast(&character->room);
	pthread_mutex_unlock(&character->lock);
	if (character->is_socket && character->listen_source)
		event_source_modify(character->listen_source, EPOLLIN);
}

static ssize_t write_some(struct character *character, const uint8_t *data, size_t length)
{
	if (character->is_socket)
		return send(character->output_fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* A pipe that polls writable takes PIPE_BUF bytes without blocking. */
	if (!character->is_file && length > 4096)
		length = 4096;
	return write(character->output_fd, data, length);
}

/* Writes what the reader takes. Returns 0, -EAGAIN (more is left) or another -errno. Locked. */
static int write_pending(struct character *character)
{
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
		if (!character->is_socket && !character->is_file && character->count)
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

static void output_ready(void *opaque, uint32_t events)
{
	struct character *character = opaque;

	if (!(events & (EPOLLERR | EPOLLHUP))) {
		flush_and_watch(character);
		return;
	}
	/* The reader is gone; what it sent before is still read, up to the end of file. */
	event_source_remove(character->output_source);
	character->output_source = NULL;
	pthread_mutex_lock(&character->lock);
	character->connected = false;
	character->armed = false;
	pthread_cond_broadcast(&character->room);
	pthread_mutex_unlock(&character->lock);
}

/* Takes Ctrl-A sequences out of what was typed on a terminal. Returns the new length. */
static size_t filter_escapes(struct character *character, uint8_t *data, size_t length)
{
	size_t kept = 0;

	for (size_t i = 0; i < length; i++) {
		if (!character->escape && data[i] == ESCAPE_KEY) {
			character->escape = true;
			continue;
		}
		if (character->escape) {
			character->escape = false;
			if (data[i] == 'x' || data[i] == 'X') {
				character->ops->quit(character->opaque);
				continue;
			}
			if (data[i] != ESCAPE_KEY)
				continue;
		}
		data[kept++] = data[i];
	}
	return kept;
}

static void end_input(struct character *character)
{
	if (character->is_socket) {
		drop_client(character);
		return;
	}
	event_source_remove(character->input_source);
	character->input_source = NULL;
	if (character->own_input)
		close(character->input_fd);
	character->input_fd = -1;
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
	ssize_t length;

	if (room > sizeof(data))
		room = sizeof(data);
	if (room == 0) {
		stop_input(character);
		return;
	}
	length = read(character->input_fd, data, room);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0) {
		end_input(character);
		return;
	}
	if (character->is_terminal)
		length = (ssize_t)filter_escapes(character, data, (size_t)length);
	pthread_mutex_lock(&character->lock);
	character->bytes_in += (uint64_t)length;
	pthread_mutex_unlock(&character->lock);
	if (length)
		character->ops->input(character->opaque, data, (size_t)length);
}

static void watch_input(void *opaque)
{
	struct character *character = opaque;
	bool stopped = false;

	if (character->input_fd < 0 || character->input_source)
		return;
	character->input_source = event_loop_add(character->loop, character->input_fd, EPOLLIN,
						 input_ready, character);
	/* A regular file cannot be polled: it is always ready. */
	while (!character->input_source && character->input_fd >= 0 && !stopped) {
		input_ready(character, EPOLLIN);
		pthread_mutex_lock(&character->lock);
		stopped = character->input_stopped;
		pthread_mutex_unlock(&character->lock);
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
	int fd = accept4(character->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	/* One client at a time: the next waits in the backlog. */
	event_source_modify(character->listen_source, 0);
	character->input_fd = fd;
	character->output_fd = dup(fd);
	if (character->output_fd < 0) {
		drop_client(character);
		return;
	}
	watch_input(character);
	character->output_source = event_loop_add(character->loop, character->output_fd, 0,
						  output_ready, character);
	pthread_mutex_lock(&character->lock);
	character->connected = true;
	pthread_mutex_unlock(&character->lock);
	flush_and_watch(character);
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
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STALL_SECONDS;
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

		if (!character->connected && character->listen_fd < 0) {
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

/*
 * A descriptor of our own for @fd that does not block, without touching the flags that
 * we share with our parent. Falls back to @fd itself (which then may block a moment).
 */
static int reopen(int fd, int flags, bool *own)
{
	char path[32];
	struct stat status;
	int fresh;

	*own = false;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fresh = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fresh < 0)
		return fd;
	*own = true;
	return fresh;
}

static void open_stdio(struct character *character)
{
	struct termios raw;

	character->input_fd = reopen(STDIN_FILENO, O_RDONLY, &character->own_input);
	character->output_fd = reopen(STDOUT_FILENO, O_WRONLY, &character->own_output);
	character->connected = character->output_fd >= 0;
	if (character->input_fd < 0 || tcgetattr(STDIN_FILENO, &character->saved) < 0)
		return;
	character->is_terminal = true;
	raw = character->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* log lines share the terminal */
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static int open_file(struct character *character, const char *option, const char *path,
		     struct error *err)
{
	character->output_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK,
				    0600);
	if (character->output_fd < 0)
		return error_set_errno(err, -errno, "--%s: cannot open %s", option, path);
	character->own_output = true;
	character->connected = true;
	return 0;
}

/* Whether a file at @address is a socket that nobody listens on any more. */
static bool is_stale_socket(const struct sockaddr_un *address)
{
	struct stat status;
	bool stale;
	int fd;

	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int open_socket(struct character *character, const char *option, const char *path,
		       struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG,
				 "--%s: socket path %s is longer than %zu bytes", option, path,
				 sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set_errno(err, -errno, "--%s: cannot create a socket", option);
	character->listen_fd = fd;
	character->is_socket = true;
	if (is_stale_socket(&address))
		unlink(path);
	/* The mode of the descriptor becomes the mode of the file. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set_errno(err, -errno, "--%s: cannot listen on %s", option, path);
	character->socket_path = strdup(path);
	if (!character->socket_path)
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	if (listen(fd, 1) < 0)
		return error_set_errno(err, -errno, "--%s: cannot listen on %s", option, path);
	character->listen_source = event_loop_add(character->loop, fd, EPOLLIN, client_connects,
						  character);
	if (!character->listen_source)
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	return 0;
}

static int open_spec(struct character *character, const char *option, const char *spec,
		     struct error *err)
{
	if (strcmp(spec, "none") == 0)
		return 0;
	if (strcmp(spec, "stdio") == 0) {
		open_stdio(character);
		return 0;
	}
	if (strncmp(spec, "file:", 5) == 0 && spec[5])
		return open_file(character, option, spec + 5, err);
	if (strncmp(spec, "socket:", 7) == 0 && spec[7])
		return open_socket(character, option, spec + 7, err);
	return error_set(err, -EINVAL, "--%s: '%s' is not stdio, socket:PATH, file:PATH or none",
			 option, spec);
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
	if (character->output_fd >= 0) {
		character->output_source = event_loop_add(character->loop, character->output_fd, 0,
							  output_ready, character);
		character->is_file = !character->output_source;
	}
	if (character->input_fd >= 0)
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
	character->listen_fd = -1;
	character->input_fd = -1;
	character->output_fd = -1;
	character->timer_fd = -1;
	pthread_mutex_init(&character->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&character->room, &attributes);
	pthread_condattr_destroy(&attributes);
	status = open_spec(character, option, spec, err);
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
	event_source_remove(character->listen_source);
	event_source_remove(character->input_source);
	event_source_remove(character->output_source);
	event_source_remove(character->timer_source);
	if (character->is_terminal)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &character->saved);
	if (character->input_fd >= 0 && (character->own_input || character->is_socket))
		close(character->input_fd);
	if (character->output_fd >= 0 && (character->own_output || character->is_socket))
		close(character->output_fd);
	if (character->listen_fd >= 0)
		close(character->listen_fd);
	if (character->timer_fd >= 0)
		close(character->timer_fd);
	if (character->socket_path)
		unlink(character->socket_path);
	free(character->socket_path);
	pthread_mutex_destroy(&character->lock);
	pthread_cond_destroy(&character->room);
	free(character);
}
