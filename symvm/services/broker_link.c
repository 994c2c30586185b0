// SPDX-License-Identifier: BSD-2-Clause
#include "services/broker_link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/message.h"
#include "util/clock.h"

struct broker_link {
	const struct broker_link_ops *ops;
	void *opaque;
	struct event_loop *loop; /* NULL: broker_link_watch() was not called */
	struct sockaddr_un address;
	int fd; /* -1: not connected */
	struct event_source *source;
	struct message_input input;
	char *output;
	size_t output_length, output_sent;
	pid_t connector; /* 0: none */
	int channel;	 /* to the connector */
	struct event_source *channel_source;
	bool asked; /* the connector has not answered yet */
};

/* A connected socket, or -errno. */
static int connection_open(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), status;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	status = -errno;
	close(fd);
	return status;
}

/* Answers with a status and, if that is 0, the socket. */
static void connection_pass(int channel, int fd)
{
	int32_t status = fd < 0 ? fd : 0;
	struct iovec data = {&status, sizeof(status)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	/* If it fails, the VM is gone. */
	if (sendmsg(channel, &message, MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* Runs the connector, which ends with the VM's process, however that ends. */
static void connector_run(const struct sockaddr_un *address, int channel)
{
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* No descriptor of the VM may stay open in this process. */
	if (dup2(channel, STDIN_FILENO) < 0)
		_exit(1);
	close_range(STDOUT_FILENO, ~0u, 0);
	while (recv(STDIN_FILENO, &byte, 1, 0) == 1) {
		int fd = connection_open(address);

		connection_pass(STDIN_FILENO, fd);
		if (fd >= 0)
			close(fd);
	}
	_exit(0);
}

static int connector_start(struct broker_link *link, struct error *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(err, -errno, "--broker: cannot create a socket pair");
	link->connector = fork();
	if (link->connector == 0)
		connector_run(&link->address, ends[1]);
	close(ends[1]);
	link->channel = ends[0];
	if (link->connector < 0) {
		link->connector = 0;
		return error_set_errno(err, -errno, "--broker: cannot fork");
	}
	return 0;
}

int broker_link_create(const char *path, const struct broker_link_ops *ops, void *opaque,
		       struct broker_link **out, struct error *err)
{
	struct broker_link *link = calloc(1, sizeof(*link));
	int status;

	if (!link)
		return error_set(err, -ENOMEM, "--broker: out of memory");
	link->ops = ops;
	link->opaque = opaque;
	link->fd = link->channel = -1;
	link->address.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(link->address.sun_path)) {
		free(link);
		return error_set(err, -ENAMETOOLONG, "--broker: '%s' is longer than %zu bytes",
				 path, sizeof(link->address.sun_path) - 1);
	}
	strcpy(link->address.sun_path, path);
	link->fd = connection_open(&link->address);
	if (link->fd < 0)
		status = error_set_errno(err, link->fd, "--broker: cannot connect to '%s'", path);
	else
		status = connector_start(link, err);
	if (status < 0) {
		broker_link_destroy(link);
		return status;
	}
	*out = link;
	return 0;
}

static void connection_close(struct broker_link *link)
{
	event_source_remove(link->source);
	link->source = NULL;
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	free(link->output);
	link->output = NULL;
	memset(&link->input, 0, sizeof(link->input));
}

void broker_link_destroy(struct broker_link *link)
{
	if (!link)
		return;
	connection_close(link);
	event_source_remove(link->channel_source);
	if (link->channel >= 0)
		close(link->channel);
	/* Do not wait for it: it ends by itself. */
	if (link->connector > 0)
		waitpid(link->connector, NULL, WNOHANG);
	free(link);
}

bool broker_link_is_connected(const struct broker_link *link)
{
	return link->fd >= 0;
}

void broker_link_drop(struct broker_link *link)
{
	if (link->fd < 0)
		return;
	connection_close(link);
	link->ops->lost(link->opaque);
}

/* Hands out the lines that are there. */
static void lines_take(struct broker_link *link)
{
	const char *line;
	size_t length;
	int got = 1;

	/* A line may end the connection. */
	while (link->fd >= 0 && (got = message_input_take(&link->input, &line, &length)) > 0)
		link->ops->line(link->opaque, line, length);
	if (got < 0)
		broker_link_drop(link);
}

/* False if the connection has ended. */
static bool input_receive(struct broker_link *link)
{
	size_t size;
	char *room = message_input_room(&link->input, &size);
	ssize_t got = recv(link->fd, room, size, MSG_DONTWAIT);

	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	message_input_put(&link->input, (size_t)got);
	return got > 0;
}

static bool output_send(struct broker_link *link)
{
	while (link->output && link->output_sent < link->output_length) {
		ssize_t sent = send(link->fd, link->output + link->output_sent,
				    link->output_length - link->output_sent,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		link->output_sent += (size_t)sent;
	}
	free(link->output);
	link->output = NULL;
	return true;
}

static void connection_ready(void *opaque, uint32_t events)
{
	struct broker_link *link = opaque;
	bool good = output_send(link);

	if (good && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		good = input_receive(link);
	lines_take(link);
	if (link->fd < 0)
		return;
	if (!good)
		broker_link_drop(link);
	else
		event_source_modify(link->source, EPOLLIN | (link->output ? EPOLLOUT : 0));
}

static bool connection_watch(struct broker_link *link)
{
	link->source = event_loop_add(link->loop, link->fd, EPOLLIN, connection_ready, link);
	return link->source;
}

/* The connector's answer. */
static void connection_take(void *opaque, uint32_t events)
{
	struct broker_link *link = opaque;
	int32_t status = -EPIPE;
	struct iovec data = {&status, sizeof(status)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(link->channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1;

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	link->asked = false;
	if (got <= 0) {
		/* The connector was killed: the VM keeps its lease, and does not connect again. */
		event_source_remove(link->channel_source);
		link->channel_source = NULL;
		return;
	}
	if (message.msg_controllen >= CMSG_LEN(sizeof(int)) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (fd < 0 || link->fd >= 0) {
		if (fd >= 0)
			close(fd);
		return;
	}
	link->fd = fd;
	if (connection_watch(link))
		link->ops->connected(link->opaque);
	else
		connection_close(link);
}

int broker_link_watch(struct broker_link *link, struct event_loop *loop)
{
	link->loop = loop;
	link->channel_source = event_loop_add(loop, link->channel, EPOLLIN, connection_take, link);
	if (!link->channel_source || (link->fd >= 0 && !connection_watch(link)))
		return -ENOMEM;
	return 0;
}

void broker_link_retry(struct broker_link *link)
{
	if (link->fd >= 0 || link->asked || !link->channel_source)
		return;
	link->asked = send(link->channel, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

bool broker_link_send(struct broker_link *link, char *line)
{
	if (!line || link->fd < 0 || link->output) {
		free(line);
		return false;
	}
	link->output = line;
	link->output_length = strlen(line);
	link->output_sent = 0;
	if (!output_send(link))
		shutdown(link->fd, SHUT_RDWR); /* the loop notices */
	else if (link->source)
		event_source_modify(link->source, EPOLLIN | (link->output ? EPOLLOUT : 0));
	return true;
}

int broker_link_wait(struct broker_link *link, unsigned ms)
{
	uint64_t end_ns = clock_now_ns() + ms * NS_PER_MS;
	size_t before, size;

	for (;;) {
		uint64_t now_ns = clock_now_ns();
		struct pollfd poller = {.fd = link->fd, .events = POLLIN};
		const char *line;
		size_t length;

		if (message_input_take(&link->input, &line, &length) > 0) {
			link->ops->line(link->opaque, line, length);
			return 0;
		}
		if (now_ns >= end_ns)
			return -ETIMEDOUT;
		if (poll(&poller, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1) < 0 &&
		    errno != EINTR)
			return -errno;
		message_input_room(&link->input, &before);
		if (poller.revents && !input_receive(link)) {
			message_input_room(&link->input, &size);
			if (size == before)
				return -EPIPE;
		}
	}
}
