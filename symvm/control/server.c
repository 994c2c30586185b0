// SPDX-License-Identifier: BSD-2-Clause
/*
 * The server of the control socket. All sockets are served on the main loop, without waiting.
 * Commands run on worker threads (jobs.h), except a few that must work whatever the workers wait
 * for. A client has one request under way at a time, and its next line is read when the last answer
 * has been sent. So a client can make us hold only one line and one answer.
 *
 * Clients beyond CLIENTS_MAX are kept on a few reserved connections, on which they may only ask for
 * `stop`. A client that left is kept until the requests that it sent are carried out.
 */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "control/jobs.h"
#include "control/passing.h"
#include "control/protocol.h"
#include "control/state_dir.h"
#include "machine/vm.h"
#include "util/clock.h"

#define CLIENTS_MAX  16u
#define RESERVED_MAX 8u
#define GONE_MAX     16u
#define RESERVED_MS  2000u  /* for a whole request, and for taking its answer */
#define GONE_MS	     10000u /* until requests of a client that left are dropped */
#define TICK_NS	     100000000
#define BACKLOG	     64
#define READ_CHUNK   4096

enum client_kind {
	CLIENT_REGULAR,
	CLIENT_RESERVED,
	CLIENT_GONE, /* it closed its end: nobody takes answers */
	CLIENT_KINDS,
};

static const unsigned clients_max[CLIENT_KINDS] = {CLIENTS_MAX, RESERVED_MAX, GONE_MAX};

struct client {
	struct control_server *server;
	enum client_kind kind;
	uint64_t since_ns; /* when it became this kind */
	int fd;
	struct event_source *source;
	bool input_ended;
	bool served; /* was answered on a reserved connection: it may wait for the VM's end */
	struct control_input input;
	struct control_file file; /* came with what is in the input */
	char *output;		  /* the answer that is being sent */
	size_t output_length;
	size_t output_sent;
	struct control_job *job; /* the request under way */
	struct client *next;
};

#define OVERFLOW_UID 65534u /* /proc/sys/kernel/overflowuid, as on each distribution */

struct control_server {
	uid_t owner; /* who started the VM */
	struct vm *vm;
	int listen_fd;
	int spare_fd; /* closed to turn a client away when descriptors run out */
	int timer_fd; /* runs while a time limit is under way */
	bool timer_runs;
	struct event_source *listen_source;
	struct event_source *timer_source;
	struct client *clients; /* the oldest of a kind comes first */
	unsigned counts[CLIENT_KINDS];
	struct control_jobs *jobs;
};

static void client_step(struct client *client);

/* Arranges a call of server_tick() soon. */
static void timer_start(struct control_server *server)
{
	const struct itimerspec soon = {.it_value.tv_nsec = TICK_NS};

	if (!server->timer_runs && timerfd_settime(server->timer_fd, 0, &soon, NULL) == 0)
		server->timer_runs = true;
}

/* Makes @client one of @kind, the newest. It is in no list. */
static void client_insert(struct client *client, enum client_kind kind)
{
	struct control_server *server = client->server;
	struct client **tail = &server->clients;

	while (*tail)
		tail = &(*tail)->next;
	*tail = client;
	client->next = NULL;
	client->kind = kind;
	client->since_ns = clock_now_ns();
	server->counts[kind]++;
	if (kind != CLIENT_REGULAR)
		timer_start(server);
}

static void client_unlink(struct client *client)
{
	struct client **link = &client->server->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	client->server->counts[client->kind]--;
}

static void client_free(struct client *client)
{
	client_unlink(client);
	if (client->job)
		control_job_forget(client->job);
	event_source_remove(client->source);
	close(client->fd);
	control_input_free(&client->input);
	control_file_close(&client->file);
	free(client->output);
	free(client);
}

/*
 * Frees the oldest client of @kind if there is no room for another; preferably one that has not
 * been served.
 */
static void make_room(struct control_server *server, enum client_kind kind)
{
	struct client *oldest = NULL;

	if (server->counts[kind] < clients_max[kind])
		return;
	for (struct client *client = server->clients; client; client = client->next)
		if (client->kind == kind && (!oldest || (oldest->served && !client->served)))
			oldest = client;
	client_free(oldest);
}

/* Takes over @answer and sends it; NULL: out of memory, so the connection ends. */
static void client_answer(struct client *client, char *answer)
{
	client->output = answer;
	client->output_sent = 0;
	client->output_length = answer ? strlen(answer) : 0;
	if (!answer)
		client->input_ended = true;
}

static void client_refuse(struct client *client, const struct control_request *request,
			  const struct error *err, int code)
{
	client_answer(client, control_answer(request, code, NULL, err));
}

/* A job of @client has ended, or its limit is over. */
static void job_ended(void *opaque, char *answer)
{
	struct client *client = opaque;

	client->job = NULL;
	client_answer(client, answer);
	client_step(client);
}

static void run_immediately(struct client *client, const struct control_command *command,
			    struct control_request *request)
{
	struct error err = {0};
	json_t *result = NULL;
	int code = command->handle(client->server->vm, request->arguments, &result, &err);

	if (code != 0) {
		json_decref(result);
		result = NULL;
	}
	client_answer(client, control_answer(request, code, result, &err));
	client->served = true;
}

static void client_run(struct client *client, const struct control_command *command,
		       struct control_request *request)
{
	struct control_server *server = client->server;
	struct error err;
	int status;

	if (command->immediate) {
		run_immediately(client, command, request);
		return;
	}
	if (client->kind == CLIENT_RESERVED) {
		error_set(&err, -EBUSY, "too many clients are connected");
		client_refuse(client, request, &err, -EBUSY);
		client->input_ended = true;
		return;
	}
	/* Nobody is left to receive the answer of a query. */
	if (client->kind == CLIENT_GONE && command->is_query)
		return;
	status = control_jobs_submit(server->jobs, command, request, client, &client->job);
	if (status < 0) {
		error_set(&err, status,
			  status == -EBUSY ? "too many requests are under way" : "out of memory");
		client_refuse(client, request, &err, status);
		return;
	}
	timer_start(server);
}

static void client_handle_line(struct client *client, enum control_line kind, const char *line,
			       size_t length)
{
	struct control_request request = {0};
	const struct control_command *command;
	struct error err;
	int status;

	if (kind == CONTROL_LINE_TOO_LONG) {
		status = error_set(&err, -EMSGSIZE, "the request is longer than %u bytes",
				   CONTROL_LINE_MAX);
		client_refuse(client, NULL, &err, status);
		return;
	}
	status = control_request_parse(line, length, &request, &err);
	if (status < 0) {
		client_refuse(client, NULL, &err, status);
		return;
	}
	command = control_command_find(request.command);
	/* A file is for one request: the next one starts without. */
	request.file = client->file;
	client->file.present = false;
	if (command && command->handle_file && !request.file.present) {
		error_set(&err, -EINVAL, "%s: no regular file was passed", command->name);
		client_refuse(client, &request, &err, -EINVAL);
	} else if (command) {
		client_run(client, command, &request);
	} else {
		error_set(&err, -ENOSYS, "unknown command '%.32s'", request.command);
		client_refuse(client, &request, &err, -ENOSYS);
	}
	control_request_free(&request);
}

/* Sends as much as it can; false if the connection is broken. */
static bool client_send(struct client *client)
{
	while (client->kind != CLIENT_GONE && client->output_sent < client->output_length) {
		ssize_t sent = send(client->fd, client->output + client->output_sent,
				    client->output_length - client->output_sent,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		client->output_sent += (size_t)sent;
	}
	free(client->output);
	client->output = NULL;
	client->output_length = client->output_sent = 0;
	return true;
}

/* Receives what the client sent, as far as there is room for it. */
static void client_receive(struct client *client)
{
	size_t room = control_input_room(&client->input);
	char chunk[READ_CHUNK];
	ssize_t got;

	got = control_receive(client->fd, chunk, room < sizeof(chunk) ? room : sizeof(chunk),
			      &client->file);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		client->input_ended = true;
	else if (control_input_put(&client->input, chunk, (size_t)got) != got)
		client->input_ended = true; /* out of memory */
}

/*
 * The client closed its end. Requests that it sent before are still in the socket, and are carried
 * out.
 */
static void client_left(struct client *client)
{
	struct control_server *server = client->server;

	event_source_remove(client->source);
	client->source = NULL;
	if (client->job && !control_job_client_left(client->job))
		client->job = NULL;
	make_room(server, CLIENT_GONE);
	client_unlink(client);
	client_insert(client, CLIENT_GONE);
}

static void client_watch(struct client *client)
{
	uint32_t events = 0;

	if (client->output)
		events |= EPOLLOUT;
	if (!client->job && !client->output && !client->input_ended)
		events |= EPOLLIN;
	event_source_modify(client->source, events);
}

/* Continues with a client as far as possible without waiting; may free it. */
static void client_step(struct client *client)
{
	for (;;) {
		enum control_line kind;
		const char *line = NULL;
		size_t length = 0;

		if (client->output && !client_send(client)) {
			/* Requests after this one are carried out all the same. */
			client_left(client);
			continue;
		}
		if (client->job || client->output)
			break;
		kind = control_input_take(&client->input, &line, &length);
		if (kind != CONTROL_LINE_NONE) {
			client_handle_line(client, kind, line, length);
			continue;
		}
		if (client->input_ended) {
			client_free(client);
			return;
		}
		if (client->kind != CLIENT_GONE)
			break;
		client_receive(client);
	}
	if (client->source)
		client_watch(client);
}

static void client_ready(void *opaque, uint32_t events)
{
	struct client *client = opaque;

	if (events & (EPOLLHUP | EPOLLERR))
		client_left(client);
	else if (events & EPOLLIN)
		client_receive(client);
	client_step(client);
}

/* Ends whatever has lasted too long. */
static void server_tick(void *opaque, uint32_t events)
{
	static const unsigned limits_ms[CLIENT_KINDS] = {0, RESERVED_MS, GONE_MS};
	struct control_server *server = opaque;
	uint64_t now = clock_now_ns(), count;
	struct client *client, *next;
	struct error err;
	bool more;

	if (read(server->timer_fd, &count, sizeof(count)) < 0)
		return;
	server->timer_runs = false;
	more = control_jobs_expire(server->jobs);
	for (client = server->clients; client; client = next) {
		next = client->next;
		if (client->kind == CLIENT_RESERVED && client->served && !client->output)
			continue;
		more |= client->kind != CLIENT_REGULAR;
		if (client->kind == CLIENT_REGULAR ||
		    now < client->since_ns + limits_ms[client->kind] * NS_PER_MS)
			continue;
		if (client->kind == CLIENT_RESERVED && !client->output) {
			error_set(&err, -EBUSY, "too many clients are connected");
			client_refuse(client, NULL, &err, -EBUSY);
			client_send(client);
		}
		client_free(client);
	}
	if (more)
		timer_start(server);
}

/*
 * Root, and the user who started the VM; not the user that the VM runs as. In a user namespace, to
 * which an unprivileged VM moves, root is one of those without an id. There the modes of the socket
 * and its directory keep the others out.
 */
static bool peer_is_allowed(const struct control_server *server, int fd)
{
	const struct jail_state *jail = jail_state(server->vm->jail);
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == 0 || peer.uid == server->owner ||
		(jail && jail->user_namespace && peer.uid == OVERFLOW_UID));
}

static int client_create(struct control_server *server, int fd)
{
	bool full = server->counts[CLIENT_REGULAR] >= CLIENTS_MAX;
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->server = server;
	client->fd = fd;
	client->source = event_loop_add(server->vm->main_loop, fd, EPOLLIN, client_ready, client);
	if (!client->source) {
		free(client);
		return -ENOMEM;
	}
	if (full)
		make_room(server, CLIENT_RESERVED);
	client_insert(client, full ? CLIENT_RESERVED : CLIENT_REGULAR);
	return 0;
}

static void connection_arrived(void *opaque, uint32_t events)
{
	struct control_server *server = opaque;
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && server->spare_fd >= 0) {
		/* If left in the backlog, it would wake the loop for ever. */
		close(server->spare_fd);
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
		server->spare_fd = fcntl(server->listen_fd, F_DUPFD_CLOEXEC, 0);
		log_limited(&server->vm->log, LOG_LEVEL_WARN,
			    "control: refused a client: out of file descriptors");
		return;
	}
	if (fd < 0)
		return;
	if (!peer_is_allowed(server, fd)) {
		log_limited(&server->vm->log, LOG_LEVEL_WARN,
			    "control: refused a client of another user");
		close(fd);
		return;
	}
	if (client_create(server, fd) < 0)
		close(fd); /* out of memory */
}

static int listen_on(struct control_server *server, const struct sockaddr_un *address,
		     struct error *err)
{
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listen_fd < 0)
		return error_set_errno(err, -errno, "cannot create the control socket");
	/* bind() takes the mode of the new file from the socket: it is 0600 from the start. */
	if (fchmod(server->listen_fd, 0600) < 0 ||
	    bind(server->listen_fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(server->listen_fd, BACKLOG) < 0)
		return error_set_errno(err, -errno, "cannot listen on '%s'", address->sun_path);
	server->spare_fd = fcntl(server->listen_fd, F_DUPFD_CLOEXEC, 0);
	server->listen_source = event_loop_add(server->vm->main_loop, server->listen_fd, EPOLLIN,
					       connection_arrived, server);
	if (!server->listen_source)
		return error_set(err, -ENOMEM, "cannot watch the control socket: out of memory");
	return 0;
}

static int timer_create_source(struct control_server *server, struct error *err)
{
	server->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->timer_fd < 0)
		return error_set_errno(err, -errno, "control socket: timerfd");
	server->timer_source = event_loop_add(server->vm->main_loop, server->timer_fd, EPOLLIN,
					      server_tick, server);
	if (!server->timer_source)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	return 0;
}

int control_server_create(struct vm *vm, const struct state_name *name, struct control_server **out,
			  struct error *err)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int status;

	if (!server)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	server->vm = vm;
	server->owner = geteuid();
	server->listen_fd = server->spare_fd = server->timer_fd = -1;
	json_object_seed(0); /* before there are threads that could race for it */
	status = control_jobs_create(vm, job_ended, &server->jobs, err);
	if (status == 0)
		status = timer_create_source(server, err);
	if (status == 0)
		status = listen_on(server, &name->address, err);
	if (status < 0) {
		control_server_destroy(server);
		return status;
	}
	*out = server;
	return 0;
}

int control_server_start(struct control_server *server, struct error *err)
{
	return control_jobs_start(server->jobs, err);
}

int control_server_wait_ready(struct control_server *server, struct error *err)
{
	return control_jobs_wait_ready(server->jobs, err);
}

void control_server_destroy(struct control_server *server)
{
	if (server->jobs)
		control_jobs_destroy(server->jobs);
	while (server->clients) {
		server->clients->job = NULL; /* freed with the jobs */
		client_free(server->clients);
	}
	event_source_remove(server->listen_source);
	event_source_remove(server->timer_source);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	if (server->timer_fd >= 0)
		close(server->timer_fd);
	free(server);
}
