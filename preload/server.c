// SPDX-License-Identifier: BSD-2-Clause
/*
 * PRELOAD_CLIENTS threads accept, and each serves one client at a time. So a client holds one line,
 * one answer and one thread, and further clients wait in the socket's queue. A client that is
 * silent for IDLE_SECONDS, or that does not take its answer in SEND_SECONDS, is left. The commands
 * are a table in a linker section, as in symvm; those that ask nothing but the guest are symvm's
 * own files.
 */
#include "server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "control/control.h"
#include "control/protocol.h"
#include "control/state_dir.h"

#define PRELOAD_CLIENTS 8u
#define IDLE_SECONDS	60
#define SEND_SECONDS	10
#define BACKLOG		64
#define READ_CHUNK	4096

struct preload_server {
	_Atomic(struct preload_vm *) vm;
	uid_t owner;
	int listen_fd;
	struct state_name name;
};

/* What symvm's command files know as their VM. */
static struct vm *commands_vm(struct preload_server *server)
{
	return (struct vm *)atomic_load(&server->vm);
}

static int run_command(struct preload_server *server, struct control_request *request,
		       json_t **result, struct error *err)
{
	const struct control_command *command = control_command_find(request->command);
	struct wait_limit limit;

	if (!command || (!command->handle && !command->handle_until))
		return error_set(err, -ENOSYS,
				 "unknown command '%.32s' (a VM of another VMM has few of symvm's "
				 "commands)",
				 request->command);
	if (command->handle)
		return command->handle(commands_vm(server), request->arguments, result, err);
	wait_limit_init(&limit, command->limit_ms ? command->limit_ms : CONTROL_LIMIT_MS);
	return command->handle_until(commands_vm(server), request->arguments, &limit, result, err);
}

/* The answer to a line; NULL: out of memory. */
static char *answer_line(struct preload_server *server, enum control_line kind, const char *line,
			 size_t length)
{
	struct control_request request = {0};
	struct error err = {""};
	json_t *result = NULL;
	char *answer;
	int status;

	if (kind == CONTROL_LINE_TOO_LONG)
		status = error_set(&err, -EMSGSIZE, "the request is longer than %u bytes",
				   CONTROL_LINE_MAX);
	else
		status = control_request_parse(line, length, &request, &err);
	if (status == 0)
		status = run_command(server, &request, &result, &err);
	if (status != 0) {
		json_decref(result);
		result = NULL;
	}
	answer = control_answer(&request, status, result, &err);
	control_request_free(&request);
	return answer;
}

/* False: the client is gone, or does not take its answer. */
static bool send_answer(int fd, const char *answer)
{
	size_t left = answer ? strlen(answer) : 0;

	if (!answer)
		return false;
	while (left) {
		ssize_t sent = send(fd, answer, left, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		answer += sent;
		left -= (size_t)sent;
	}
	return true;
}

static void serve_client(struct preload_server *server, int fd)
{
	struct control_input input = {0};
	enum control_line kind;
	const char *line;
	size_t length;
	bool goes_on = true;

	while (goes_on) {
		char chunk[READ_CHUNK], *answer;
		size_t room = control_input_room(&input);
		ssize_t got = recv(fd, chunk, room < sizeof(chunk) ? room : sizeof(chunk), 0);

		if (got <= 0 || control_input_put(&input, chunk, (size_t)got) != got)
			break;
		while (goes_on &&
		       (kind = control_input_take(&input, &line, &length)) != CONTROL_LINE_NONE) {
			answer = answer_line(server, kind, line, length);
			goes_on = send_answer(fd, answer);
			free(answer);
		}
	}
	control_input_free(&input);
}

/* Root, and the user who started the VMM. */
static bool peer_is_allowed(const struct preload_server *server, int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == 0 || peer.uid == server->owner);
}

static void *serve(void *opaque)
{
	const struct timeval idle = {.tv_sec = IDLE_SECONDS}, slow = {.tv_sec = SEND_SECONDS};
	const struct timespec pause = {.tv_nsec = 100000000};
	struct preload_server *server = opaque;

	for (;;) {
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0) {
			nanosleep(&pause, NULL); /* no descriptors: do not spin */
			continue;
		}
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &slow, sizeof(slow));
		if (peer_is_allowed(server, fd))
			serve_client(server, fd);
		close(fd);
	}
	return NULL;
}

static int start_threads(struct preload_server *server)
{
	sigset_t all, before;
	unsigned started = 0;
	pthread_t thread;
	int error = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < PRELOAD_CLIENTS && !error) {
		error = pthread_create(&thread, NULL, serve, server);
		if (!error) {
			pthread_setname_np(thread, "symvm-preload");
			pthread_detach(thread);
			started++;
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started ? 0 : -error; /* fewer of them serve as well */
}

static int listen_on(struct preload_server *server, struct error *err)
{
	const struct sockaddr *address = (const struct sockaddr *)&server->name.address;

	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server->listen_fd < 0)
		return error_set_errno(err, -errno, "cannot create the control socket");
	/* bind() takes the mode of the new file from the socket. */
	if (fchmod(server->listen_fd, 0600) < 0 ||
	    bind(server->listen_fd, address, sizeof(server->name.address)) < 0 ||
	    listen(server->listen_fd, BACKLOG) < 0)
		return error_set_errno(err, -errno, "cannot listen on '%s'",
				       server->name.address.sun_path);
	return 0;
}

static int claim_name(struct preload_server *server, struct error *err)
{
	const char *given = getenv(PRELOAD_NAME_VARIABLE);
	char name[32];

	snprintf(name, sizeof(name), PRELOAD_NAME_DEFAULT, (int)getpid());
	return state_name_claim(&server->name, given && *given ? given : name, err);
}

int preload_server_start(struct preload_vm *vm, struct preload_server **out, struct error *err)
{
	struct preload_server *server = calloc(1, sizeof(*server));
	int status;

	if (!server)
		return error_set(err, -ENOMEM, "control socket: out of memory");
	server->vm = vm;
	server->owner = geteuid();
	server->listen_fd = -1;
	json_object_seed(0); /* before there are threads that could race for it */
	status = claim_name(server, err);
	if (status < 0) {
		free(server);
		return status;
	}
	status = listen_on(server, err);
	if (status == 0) {
		status = start_threads(server);
		if (status < 0)
			error_set_errno(err, status, "control socket: no thread");
	}
	if (status == 0) {
		*out = server;
		return 0;
	}
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	state_name_release(&server->name);
	free(server);
	return status;
}

void preload_server_set_vm(struct preload_server *server, struct preload_vm *vm)
{
	atomic_store(&server->vm, vm);
}

void preload_server_end(struct preload_server *server)
{
	if (server)
		state_name_release(&server->name);
}
