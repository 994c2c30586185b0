// SPDX-License-Identifier: BSD-2-Clause
/*
 * The server of the control socket. All sockets are served on the main loop,
 * without waiting; a command that may wait runs on a worker thread, and its
 * answer comes back to the loop. A client has one request under way at a time, and its next
 * line is looked at when the last answer is sent: so what a client can make us hold is one
 * line and one answer.
 */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/protocol.h"
#include "control/state_dir.h"
#include "jail/jail.h"
#include "machine/vm.h"

#define CLIENTS_MAX 16
#define WORKERS	    2
#define BACKLOG	    64
#define READ_CHUNK  4096

SECTION_DECLARE(symvm_control_commands, struct control_command);

struct client {
	struct control_server *server;
	int fd; /* -1: gone, but its job still runs */
	struct event_source *source;
	bool input_ended;
	struct control_input input;
	char *output; /* the answer that is being sent */
	size_t output_length;
	size_t output_sent;
	/* The request under way. While @busy a worker owns these. */
	bool busy;
	const struct control_command *command;
	struct control_request request;
	int code;
	json_t *result;
	struct error err;
	struct client *next_job;
};

struct control_server {
	struct vm *vm;
	int listen_fd;
	int spare_fd; /* given up to turn a client away when fds run out */
	struct event_source *listen_source;
	struct client *clients[CLIENTS_MAX];
	pthread_t workers[WORKERS];
	unsigned worker_count;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct client *jobs;
	bool stopping;
	unsigned workers_ready;
	int worker_status; /* first failure to start */
	struct error worker_err;
};

static void client_step(struct client *client);

static const struct control_command *find_command(const char *name)
{
	const struct control_command *const *it;

	SECTION_FOR_EACH(symvm_control_commands, it)
	if (strcmp((*it)->name, name) == 0)
		return *it;
	return NULL;
}

static void client_disconnect(struct client *client)
{
	if (client->fd < 0)
		return;
	event_source_remove(client->source);
	close(client->fd);
	client->fd = -1;
}

/* Frees a client that has no job under way. */
static void client_free(struct client *client)
{
	struct control_server *server = client->server;

	client_disconnect(client);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (server->clients[i] == client)
			server->clients[i] = NULL;
	control_request_free(&client->request);
	control_input_free(&client->input);
	json_decref(client->result);
	free(client->output);
	free(client);
}

/* Turns the finished request into the answer to be sent. */
static void client_answer(struct client *client)
{
	client->output = control_answer(client->request.document ? &client->request : NULL,
					client->code, client->result, &client->err);
	client->result = NULL;
	control_request_free(&client->request);
	client->output_sent = 0;
	client->output_length = client->output ? strlen(client->output) : 0;
	if (!client->output)
		client->input_ended = true; /* out of memory: the connection ends */
}

static void run_handler(struct client *client)
{
	client->err.text[0] = '\0';
	client->result = NULL;
	client->code = client->command->handle(client->server->vm, client->request.arguments,
					       &client->result, &client->err);
	if (client->code != 0) {
		json_decref(client->result);
		client->result = NULL;
	}
}

static void queue_job(struct client *client)
{
	struct control_server *server = client->server;
	struct client **tail = &server->jobs;

	pthread_mutex_lock(&server->lock);
	client->next_job = NULL;
	while (*tail)
		tail = &(*tail)->next_job;
	*tail = client;
	pthread_cond_signal(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

/* Posted by a worker: on the main loop again. */
static void job_done(void *opaque)
{
	struct client *client = opaque;

	client->busy = false;
	if (client->fd < 0) {
		client_free(client);
		return;
	}
	client_answer(client);
	client_step(client);
}

static void client_handle_line(struct client *client, enum control_line kind, const char *line,
			       size_t length)
{
	client->result = NULL;
	client->err.text[0] = '\0';
	if (kind == CONTROL_LINE_TOO_LONG) {
		client->code = error_set(&client->err, -EMSGSIZE,
					 "the request is longer than %u bytes", CONTROL_LINE_MAX);
		client_answer(client);
		return;
	}
	client->code = control_request_parse(line, length, &client->request, &client->err);
	if (client->code < 0) {
		client_answer(client);
		return;
	}
	client->command = find_command(client->request.command);
	if (!client->command) {
		client->code = error_set(&client->err, -ENOSYS, "unknown command '%.32s'",
					 client->request.command);
		client_answer(client);
		return;
	}
	if (client->command->may_wait) {
		client->busy = true;
		queue_job(client);
		return;
	}
	run_handler(client);
	client_answer(client);
}

/* Sends what it can; false when the connection is broken. */
static bool client_send(struct client *client)
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
	client->output_length = client->output_sent = 0;
	return true;
}

/* Goes on with a client as far as possible without waiting; may free it. */
static void client_step(struct client *client)
{
	uint32_t events = 0;

	for (;;) {
		enum control_line kind;
		const char *line = NULL;
		size_t length = 0;

		if (client->output && !client_send(client)) {
			client_free(client);
			return;
		}
		if (client->busy || client->output)
			break;
		kind = control_input_take(&client->input, &line, &length);
		if (kind == CONTROL_LINE_NONE) {
			if (client->input_ended) {
				client_free(client);
				return;
			}
			break;
		}
		client_handle_line(client, kind, line, length);
	}
	if (client->output)
		events |= EPOLLOUT;
	if (!client->busy && !client->output && !client->input_ended)
		events |= EPOLLIN;
	event_source_modify(client->source, events);
}

static void client_ready(void *opaque, uint32_t events)
{
	struct client *client = opaque;
	char chunk[READ_CHUNK];
	ssize_t got;

	if (events & (EPOLLHUP | EPOLLERR)) {
		/* Nobody is left to take an answer. A job under way ends first. */
		if (client->busy)
			client_disconnect(client);
		else
			client_free(client);
		return;
	}
	if (events & EPOLLIN) {
		size_t room = control_input_room(&client->input);

		got = recv(client->fd, chunk, room < sizeof(chunk) ? room : sizeof(chunk),
			   MSG_DONTWAIT);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0)
			client->input_ended = true;
		else if (control_input_put(&client->input, chunk, (size_t)got) != got)
			client->input_ended = true; /* out of memory */
	}
	client_step(client);
}

static bool peer_is_allowed(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static int client_create(struct control_server *server, int fd)
{
	struct client *client;
	unsigned slot = 0;

	while (slot < CLIENTS_MAX && server->clients[slot])
		slot++;
	if (slot == CLIENTS_MAX)
		return -EBUSY;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->server = server;
	client->fd = fd;
	client->source = event_loop_add(server->vm->main_loop, fd, EPOLLIN, client_ready, client);
	if (!client->source) {
		free(client);
		return -ENOMEM;
	}
	server->clients[slot] = client;
	return 0;
}

static void refuse(int fd, int code, const char *reason)
{
	struct error err;
	char *line;

	error_set(&err, code, "%s", reason);
	line = control_answer(NULL, code, NULL, &err);
	/* The buffer of a fresh socket takes it; if not, closing says enough. */
	if (line && send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		line[0] = '\0';
	free(line);
	close(fd);
}

static void connection_arrived(void *opaque, uint32_t events)
{
	struct control_server *server = opaque;
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int status;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && server->spare_fd >= 0) {
		/* Left in the backlog, it would wake the loop for ever. */
		close(server->spare_fd);
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			close(fd);
		server->spare_fd = fcntl(server->listen_fd, F_DUPFD_CLOEXEC, 0);
		log_limited(&server->vm->log, LOG_LEVEL_WARN,
			    "control: a client was turned away: out of file descriptors");
		return;
	}
	if (fd < 0)
		return;
	if (!peer_is_allowed(fd)) {
		log_limited(&server->vm->log, LOG_LEVEL_WARN,
			    "control: a client of another user was turned away");
		close(fd);
		return;
	}
	status = client_create(server, fd);
	if (status == -EBUSY)
		refuse(fd, status, "too many clients are connected");
	else if (status < 0)
		refuse(fd, status, "out of memory");
}

/* Takes the next job, or returns NULL when the server stops. */
static struct client *take_job(struct control_server *server)
{
	struct client *client;

	pthread_mutex_lock(&server->lock);
	while (!server->jobs && !server->stopping)
		pthread_cond_wait(&server->changed, &server->lock);
	client = server->stopping ? NULL : server->jobs;
	if (client)
		server->jobs = client->next_job;
	pthread_mutex_unlock(&server->lock);
	return client;
}

static void *worker_main(void *opaque)
{
	struct control_server *server = opaque;
	struct client *client;
	struct error err;
	int status;

	pthread_setname_np(pthread_self(), "control");
	status = jail_enter_thread(server->vm->jail, JAIL_THREAD_WORKER, &err);
	pthread_mutex_lock(&server->lock);
	if (status < 0 && server->worker_status == 0) {
		server->worker_status = status;
		server->worker_err = err;
	}
	server->workers_ready++;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	if (status < 0)
		return NULL;
	while ((client = take_job(server))) {
		run_handler(client);
		while (event_loop_post(server->vm->main_loop, job_done, client) == -ENOMEM)
			sched_yield();
	}
	return NULL;
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

int control_server_create(struct vm *vm, const struct state_name *name, struct control_server **out,
			  struct error *err)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int status;

	if (!server)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	server->vm = vm;
	server->listen_fd = server->spare_fd = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	json_object_seed(0); /* before there are threads that could race for it */
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
	int status = 0;

	for (unsigned i = 0; i < WORKERS && status == 0; i++) {
		status = -pthread_create(&server->workers[i], NULL, worker_main, server);
		if (status == 0)
			server->worker_count++;
	}
	if (status < 0)
		return error_set_errno(err, status, "cannot start a control thread");
	pthread_mutex_lock(&server->lock);
	while (server->workers_ready < server->worker_count)
		pthread_cond_wait(&server->changed, &server->lock);
	status = server->worker_status;
	if (status < 0)
		*err = server->worker_err;
	pthread_mutex_unlock(&server->lock);
	return status;
}

void control_server_destroy(struct control_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	for (unsigned i = 0; i < server->worker_count; i++)
		pthread_join(server->workers[i], NULL);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (server->clients[i])
			client_free(server->clients[i]);
	event_source_remove(server->listen_source);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->spare_fd >= 0)
		close(server->spare_fd);
	pthread_mutex_destroy(&server->lock);
	pthread_cond_destroy(&server->changed);
	free(server);
}
