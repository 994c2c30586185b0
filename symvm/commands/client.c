// SPDX-License-Identifier: BSD-2-Clause
#include "commands/client.h"

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

#include "control/state_dir.h"
#include "util/clock.h"

#define KEY_JSON 256

int client_open(struct client *client, const char *name, struct error *err)
{
	struct sockaddr_un address;
	int status = state_name_lookup(name, &address, err);

	client->fd = -1;
	if (status < 0)
		return status;
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return error_set_errno(err, -errno, "cannot create a socket");
	if (connect(client->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		/* The name is held, but nobody listens: not yet, or not any more. */
		if (errno == ENOENT || errno == ECONNREFUSED)
			status = error_set(err, -EAGAIN, "'%s' is just starting or ending", name);
		else
			status = error_set_errno(err, -errno, "cannot reach '%s' on '%s'", name,
						 address.sun_path);
		client_close(client);
	}
	return status;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

/* 0 when readable (or ended), -ETIMEDOUT, -errno. */
static int wait_readable(int fd, unsigned timeout_ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int count;

	do
		count = poll(&poll_fd, 1, (int)timeout_ms);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	return count == 0 ? -ETIMEDOUT : 0;
}

/* Reads up to the newline into an allocated string. */
static int read_line(int fd, unsigned timeout_ms, char **line)
{
	size_t length = 0, capacity = 0;
	char *data = NULL;
	int status = 0;

	while (status == 0) {
		ssize_t got;

		if (length + 1 >= capacity) {
			char *grown = realloc(data, capacity = capacity ? capacity * 2 : 4096);

			if (!grown || capacity > CLIENT_ANSWER_MAX) {
				data = grown ? grown : data;
				status = grown ? -EMSGSIZE : -ENOMEM;
				break;
			}
			data = grown;
		}
		status = wait_readable(fd, timeout_ms);
		if (status < 0)
			break;
		got = recv(fd, data + length, capacity - length - 1, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			status = got < 0 && errno != ECONNRESET ? -errno : -EPIPE;
			break;
		}
		length += (size_t)got;
		if (data[length - 1] == '\n') {
			data[length - 1] = '\0';
			*line = data;
			return 0;
		}
	}
	free(data);
	return status;
}

static int send_request(int fd, const char *command, json_t *arguments)
{
	json_t *request = json_pack("{s:s}", "command", command);
	size_t length, sent = 0;
	char *text;

	if (arguments)
		json_object_set_new(request, "arguments", arguments);
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	if (!text)
		return -ENOMEM;
	length = strlen(text);
	text[length++] = '\n'; /* in place of its end */
	while (sent < length) {
		ssize_t count = send(fd, text + sent, length - sent, MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			free(text);
			return errno == ECONNRESET ? -EPIPE : -errno;
		}
		sent += (size_t)count;
	}
	free(text);
	return 0;
}

static int read_answer(const char *line, json_t **result, struct error *err)
{
	json_t *answer = json_loads(line, 0, NULL);
	json_t *good = json_object_get(answer, "result");
	const char *message = NULL;
	int code = 0;

	if (good) {
		if (result)
			*result = json_incref(good);
		json_decref(answer);
		return 0;
	}
	if (json_unpack(answer, "{s:{s:i, s:s}}", "error", "code", &code, "message", &message) <
		    0 ||
	    code >= 0)
		code = error_set(err, -EPROTO, "the VM's answer is not understood");
	else
		error_set(err, code, "%s", message);
	json_decref(answer);
	return code;
}

int client_call(struct client *client, const char *command, json_t *arguments, unsigned timeout_ms,
		json_t **result, struct error *err)
{
	char *line = NULL;
	int status;

	status = send_request(client->fd, command, arguments);
	/* A VM with too many clients answers before it hears, and closes. */
	if (status == 0 || status == -EPIPE)
		status = read_line(client->fd, timeout_ms, &line);
	if (status == -EPIPE)
		return error_set(err, status, "the VM ended before it answered '%s'", command);
	if (status == -ETIMEDOUT)
		return error_set(err, status, "no answer to '%s' within %u s", command,
				 timeout_ms / 1000);
	if (status < 0)
		return error_set_errno(err, status, "asking the VM for '%s' failed", command);
	status = read_answer(line, result, err);
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
	uint64_t start = clock_now_ns() / NS_PER_MS, gone;
	char dropped[256];

	while ((gone = clock_now_ns() / NS_PER_MS - start) <= timeout_ms) {
		int status = wait_readable(client->fd, timeout_ms - (unsigned)gone);

		if (status < 0)
			return status;
		if (recv(client->fd, dropped, sizeof(dropped), 0) <= 0)
			return 0;
	}
	return -ETIMEDOUT;
}

error_t client_take_name(struct argp_state *state, char *arg, const char **name, struct error *err)
{
	if (*name) {
		error_set(err, -EINVAL, "%s: unexpected argument '%s'", state->argv[0], arg);
		return EINVAL;
	}
	*name = arg;
	return 0;
}

error_t client_need_name(struct argp_state *state, const char *name, struct error *err)
{
	if (!name) {
		error_set(err, -EINVAL, "%s: the VM's NAME is missing (see 'symvm list')",
			  state->argv[0]);
		return EINVAL;
	}
	return state_name_check(name, err) < 0 ? EINVAL : 0;
}

static error_t parse_name(int key, char *arg, struct argp_state *state)
{
	struct client_options *options = state->input;

	switch (key) {
	case KEY_JSON:
		options->json = true;
		return 0;
	case ARGP_KEY_ARG:
		return client_take_name(state, arg, &options->name, options->err);
	case ARGP_KEY_END:
		return client_need_name(state, options->name, options->err);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int client_parse(int argc, char **argv, const char *doc, bool with_json,
		 struct client_options *options, struct error *err)
{
	static const struct argp_option json_options[] = {
		{"json", KEY_JSON, NULL, 0, "Print JSON", 0},
		{0},
	};
	const struct argp argp = {
		.options = with_json ? json_options : NULL,
		.parser = parse_name,
		.args_doc = "NAME",
		.doc = doc,
	};

	*options = (struct client_options){.err = err};
	return command_parse_or_report(&argp, argc, argv, options, err);
}

void client_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}
