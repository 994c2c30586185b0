// SPDX-License-Identifier: BSD-2-Clause
/*
 * The connections of the broker. Each client costs one line of input, one answer, and a bounded
 * rate of lines: if its tokens are used up, the broker does not read from it until the next tick,
 * so that the client waits and nothing is lost. A client that does not take its answer in time is
 * cut off; a VM then connects again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/daemon/server_internal.h"
#include "util/clock.h"

static void client_unlink(struct client *client)
{
	struct broker_server *server = client->server;
	struct client **link = &server->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	server->client_count--;
	if (!client->vm)
		server->strangers--;
}

void client_free(struct client *client)
{
	client_unlink(client);
	event_source_remove(client->source);
	close(client->fd);
	free(client->output);
	free(client);
}

/* The connection is of no more use: its VM, if there is one, is absent. */
static void client_end(struct client *client)
{
	struct broker_server *server = client->server;
	struct accounts_vm *vm = client->vm;

	client_free(client);
	if (vm)
		server->ops->lost(server, vm);
}

static void client_watch(struct client *client)
{
	uint32_t events = EPOLLRDHUP;

	if (client->output)
		events |= EPOLLOUT;
	else if (client->tokens)
		events |= EPOLLIN;
	event_source_modify(client->source, events);
}

/* Sends as much as it can. False if the connection is broken, or was to end after this. */
static bool output_send(struct client *client)
{
	while (client->output_sent < client->output_length) {
		ssize_t sent = send(client->fd, client->output + client->output_sent,
				    client->output_length - client->output_sent,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		client->output_sent += (size_t)sent;
	}
	free(client->output);
	client->output = NULL;
	return !client->ends;
}

void client_send(struct client *client, char *line)
{
	free(client->output);
	client->output = line;
	client->output_sent = 0;
	client->output_length = line ? strlen(line) : 0;
	client->since_ns = clock_now_ns();
	if (!line)
		client->ends = true;
	/* A broken connection is noticed by the loop. */
	if (!output_send(client))
		shutdown(client->fd, SHUT_RDWR);
	client_watch(client);
}

void client_refuse(struct client *client, int code, const struct error *err)
{
	client->ends = true;
	client_send(client, message_error_line(code, err));
}

static void line_handle(struct client *client, const char *line, size_t length)
{
	struct message_request request;
	struct error err = {0};
	int status = message_request_read(line, length, &request, &err);

	if (status < 0)
		client_refuse(client, status, &err);
	else
		client->server->ops->request(client, &request);
}

/* The lines that are there, as far as the client has tokens and no answer is on its way. */
static void lines_handle(struct client *client)
{
	const char *line;
	size_t length;

	while (client->tokens && !client->output && !client->ends) {
		int got = message_input_take(&client->input, &line, &length);
		struct error err;

		if (got == 0)
			return;
		client->tokens--;
		if (got > 0) {
			line_handle(client, line, length);
			continue;
		}
		error_set(&err, got, "a line is longer than %u bytes", MESSAGE_LINE_MAX);
		client_refuse(client, got, &err);
	}
}

/* The kernel says by SCM_CREDENTIALS which process sent it: the VM's own, not its opener. */
static void sender_take(struct client *client, struct msghdr *message)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
	     part = CMSG_NXTHDR(message, part)) {
		struct ucred sender;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS ||
		    part->cmsg_len < CMSG_LEN(sizeof(sender)))
			continue;
		memcpy(&sender, CMSG_DATA(part), sizeof(sender));
		if (!client->pid)
			client->pid = sender.pid;
	}
}

/* Receives what fits. Without room for a descriptor, the kernel drops those that are passed. */
static bool input_receive(struct client *client)
{
	size_t size;
	char *room = message_input_room(&client->input, &size);
	struct iovec data = {room, size};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control = {0};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = size ? recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) : 0;

	if (size == 0)
		return true;
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		return false;
	sender_take(client, &message);
	message_input_put(&client->input, (size_t)got);
	return true;
}

static void client_ready(void *opaque, uint32_t events)
{
	struct client *client = opaque;
	struct broker_server *server = client->server;
	bool good = true;

	if (client->output)
		good = output_send(client);
	else if (events & EPOLLIN)
		good = input_receive(client);
	if (good)
		lines_handle(client);
	if (!good || (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) ||
	    (client->ends && !client->output))
		client_end(client);
	else
		client_watch(client);
	server->ops->handled(server);
}

void client_add(struct broker_server *server, int fd)
{
	struct client *client = calloc(1, sizeof(*client)), **tail = &server->clients;

	if (!client) {
		close(fd);
		return;
	}
	client->server = server;
	client->fd = fd;
	client->since_ns = clock_now_ns();
	client->tokens = LINES_BURST;
	client->source = event_loop_add(server->loop, fd, EPOLLIN | EPOLLRDHUP, client_ready,
					client);
	if (!client->source) {
		close(fd);
		free(client);
		return;
	}
	while (*tail)
		tail = &(*tail)->next;
	*tail = client;
	server->client_count++;
	server->strangers++;
}

/* Whether the client takes longer than it may. */
static bool client_is_late(const struct client *client, uint64_t now_ns)
{
	if (client->vm)
		return client->output && now_ns - client->since_ns > STUCK_NS;
	return now_ns - client->since_ns > STRANGER_NS;
}

void clients_tick(struct broker_server *server, uint64_t now_ns)
{
	struct client *client = server->clients, *next;

	for (; client; client = next) {
		next = client->next;
		if (client_is_late(client, now_ns)) {
			client_end(client);
			continue;
		}
		client->tokens += LINES_PER_TICK;
		if (client->tokens > LINES_BURST)
			client->tokens = LINES_BURST;
		lines_handle(client);
		client_watch(client);
	}
}
