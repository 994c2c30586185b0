// SPDX-License-Identifier: BSD-2-Clause
/*
 * A client of the control socket. Connecting, sending and receiving have one common time limit, and
 * the descriptor is non-blocking, so a VM that does not run (SIGSTOP) or sends byte by byte cannot
 * hold up a command. The VM is not trusted: its process must belong to the user whose VM was asked
 * for, and its answer is bounded and checked before anything is used.
 */
#include "cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"
#include "control/state_find.h"
#include "util/clock.h"

/*
 * Waits until @fd is ready for @events, or its other end is gone: 0, -ETIMEDOUT after @end
 * (clock_now_ns()), -errno.
 */
static int wait_ready(int fd, short events, uint64_t end)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = clock_now_ns();
		int count;

		if (now >= end)
			return -ETIMEDOUT;
		/* Rounded up. If the wait was too short, the loop waits again. */
		count = poll(&poll_fd, 1, (int)((end - now) / NS_PER_MS) + 1);
		if (count > 0)
			return 0;
		if (count < 0 && errno != EINTR)
			return -errno;
	}
}

/* Whether the VMM at the other end belongs to @uid: a link may lead to another user's socket. */
static bool peer_is(int fd, uid_t uid)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	return uid == geteuid() ||
	       (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == uid);
}

/* Connects to the socket in the directory that was found. 0 or -errno. */
static int connect_found(int fd, const struct state_found *found, uint64_t end)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	/* By the descriptor, whose owner was checked. Also, the path may be too long. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%.63s.sock",
		 found->dir_fd, found->name);
	/* A VMM that does not run (SIGSTOP) lets the queue of its socket fill up. */
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (clock_now_ns() >= end)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return peer_is(fd, found->uid) ? 0 : -EPERM;
}

int client_open_found(struct client *client, const struct state_found *found, unsigned timeout_ms,
		      struct error *err)
{
	uint64_t end = clock_now_ns() + timeout_ms * NS_PER_MS;
	int status;

	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		return error_set_errno(err, -errno, "cannot create a socket");
	status = connect_found(client->fd, found, end);
	if (status == 0)
		return 0;
	client_close(client);
	/* A process holds the name, but does not listen: not yet, or not any more. */
	if (status == -ENOENT || status == -ECONNREFUSED)
		return error_set(err, -EAGAIN, "'%s' is just starting or ending", found->name);
	if (status == -ETIMEDOUT)
		return error_set(err, status, "'%s' does not accept a connection within %u s",
				 found->name, timeout_ms / 1000);
	return error_set_errno(err, status, "cannot reach '%s' in '%s'", found->name, found->dir);
}

int client_open(struct client *client, const char *name, struct error *err)
{
	struct state_found found;
	int status = state_find(name, &found, err);

	client->fd = -1;
	if (status < 0)
		return status;
	status = client_open_found(client, &found, CLIENT_TIMEOUT_MS, err);
	close(found.dir_fd);
	return status;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* Grows @data so that there is room for more: -ENOMEM, -EMSGSIZE. */
static int grow(char **data, size_t length, size_t *capacity)
{
	size_t wanted = *capacity ? *capacity * 2 : 4096;
	char *grown;

	if (length < *capacity)
		return 0;
	if (wanted > CLIENT_ANSWER_MAX)
		return -EMSGSIZE;
	grown = realloc(*data, wanted);
	if (!grown)
		return -ENOMEM;
	*data = grown;
	*capacity = wanted;
	return 0;
}

/*
 * Reads a line, without its end, into an allocated buffer. Nobody asked for bytes after it, so they
 * are dropped. @end limits the whole, even if the VM sends byte by byte.
 */
static int read_line(int fd, uint64_t end, char **line, size_t *line_length)
{
	size_t length = 0, capacity = 0;
	char *data = NULL, *newline;
	int status;

	for (;;) {
		ssize_t got;

		status = grow(&data, length, &capacity);
		if (status == 0)
			status = wait_ready(fd, POLLIN, end);
		if (status < 0)
			break;
		got = recv(fd, data + length, capacity - length, 0);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0) {
			status = got < 0 && errno != ECONNRESET ? -errno : -EPIPE;
			break;
		}
		newline = memchr(data + length, '\n', (size_t)got);
		length += (size_t)got;
		if (newline) {
			*line = data;
			*line_length = (size_t)(newline - data);
			return 0;
		}
	}
	free(data);
	return status;
}

static int send_all(int fd, const char *text, size_t length, uint64_t end)
{
	while (length) {
		ssize_t count = send(fd, text, length, MSG_NOSIGNAL);
		int status;

		if (count >= 0) {
			text += count;
			length -= (size_t)count;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return errno == ECONNRESET ? -EPIPE : -errno;
		status = wait_ready(fd, POLLOUT, end);
		if (status < 0)
			return status;
	}
	return 0;
}

static int send_request(int fd, const char *command, json_t *arguments, uint64_t end)
{
	json_t *request = json_pack("{s:s}", "command", command);
	size_t length;
	char *text;
	int status;

	if (arguments)
		json_object_set_new(request, "arguments", arguments);
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		return -ENOMEM;
	length = strlen(text);
	text[length++] = '\n'; /* in place of its end */
	status = send_all(fd, text, length, end);
	free(text);
	return status;
}

int client_read_answer(const char *line, size_t length, json_t **result, struct error *err)
{
	json_t *answer = json_loadb(line, length, 0, NULL);
	json_t *good = json_object_get(answer, "result");
	const char *message = NULL;
	int code = 0;

	if (json_is_object(good)) {
		if (result)
			*result = json_incref(good);
		json_decref(answer);
		return 0;
	}
	if (json_unpack(answer, "{s:{s:i, s:s}}", "error", "code", &code, "message", &message) <
		    0 ||
	    code >= 0 || code < -4095)
		code = error_set(err, -EPROTO, "the VM's answer is not understood");
	else
		error_set(err, code, "%s", message);
	json_decref(answer);
	/* These codes have a meaning for our callers that the VM must not be able to choose. */
	return code == -EPIPE || code == -ENOENT || code == -EAGAIN ? -EREMOTEIO : code;
}

int client_call(struct client *client, const char *command, json_t *arguments, unsigned timeout_ms,
		json_t **result, struct error *err)
{
	uint64_t end = clock_now_ns() + timeout_ms * NS_PER_MS;
	char *line = NULL;
	size_t length = 0;
	int status;

	status = send_request(client->fd, command, arguments, end);
	/* A VM with too many clients answers before it reads the request, and closes. */
	if (status == 0 || status == -EPIPE)
		status = read_line(client->fd, end, &line, &length);
	if (status == -EPIPE)
		return error_set(err, status, "the VM ended before it answered '%s'", command);
	if (status == -ETIMEDOUT)
		return error_set(err, status, "no answer to '%s' within %u s", command,
				 timeout_ms / 1000);
	if (status == -EMSGSIZE)
		return error_set(err, status, "the VM's answer to '%s' is longer than %u MiB",
				 command, CLIENT_ANSWER_MAX >> 20);
	if (status < 0)
		return error_set_errno(err, status, "asking the VM for '%s' failed", command);
	status = client_read_answer(line, length, result, err);
	free(line);
	return status;
}

int client_ask(const char *name, const char *command, json_t *arguments, json_t **result,
	       struct error *err)
{
	struct client client;
	int status = client_open(&client, name, err);

	if (status < 0) {
		json_decref(arguments);
		return status;
	}
	status = client_call(&client, command, arguments, CLIENT_TIMEOUT_MS, result, err);
	client_close(&client);
	return status;
}

int client_wait_end(struct client *client, unsigned timeout_ms)
{
	uint64_t end = clock_now_ns() + timeout_ms * NS_PER_MS;
	char dropped[256];

	for (;;) {
		int status = wait_ready(client->fd, POLLIN, end);
		ssize_t got;

		if (status < 0)
			return status;
		got = recv(client->fd, dropped, sizeof(dropped), 0);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return 0;
	}
}

const struct argument client_words[] = {CLIENT_NAME, {0}};
const struct argument client_json_options[] = {CLIENT_JSON, {0}};

int client_take_name(void *input, const struct argument *argument, const char *value,
		     struct error *err)
{
	struct command_input *command_input = input;

	command_input->vm = value;
	return state_find_check(value, err);
}

int client_run(const struct command *command, struct command_input *input)
{
	struct error err;
	json_t *answer = NULL;

	if (client_ask(input->vm, command->name, json_incref(input->request),
		       command->silent ? NULL : &answer, &err) < 0) {
		command_error("%s: %s", command->name, err.text);
		return COMMAND_FAILURE;
	}
	if (command->silent)
		return COMMAND_SUCCESS;
	if (input->json || !command->print)
		output_json(answer);
	else
		command->print(answer);
	json_decref(answer);
	return COMMAND_SUCCESS;
}
