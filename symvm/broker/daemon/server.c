// SPDX-License-Identifier: BSD-2-Clause
#include "broker/daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/daemon/server_internal.h"
#include "util/clock.h"
#include "util/psi.h"

#define BACKLOG 64

/* Room for one more: a stranger that is there for the longest time makes it. */
static void strangers_bound(struct broker_server *server)
{
	struct client *client = server->clients;

	if (server->strangers < STRANGERS_MAX && server->client_count < CLIENTS_MAX)
		return;
	while (client && client->vm)
		client = client->next;
	if (client)
		client_free(client);
}

static void connection_arrived(void *opaque, uint32_t events)
{
	struct broker_server *server = opaque;
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	strangers_bound(server);
	client_add(server, fd);
}

static void timer_arrived(void *opaque, uint32_t events)
{
	struct broker_server *server = opaque;
	uint64_t count;

	if (read(server->timer_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	clients_tick(server, clock_now_ns());
	fleet_tick(server);
	fleet_carry_out(server);
}

static int address_set(struct sockaddr_un *address, const char *path, struct error *err)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return error_set(err, -ENAMETOOLONG, "--socket: '%s' is longer than %zu bytes",
				 path, sizeof(address->sun_path) - 1);
	strcpy(address->sun_path, path);
	return 0;
}

/* The ledger's lock is ours, so a socket that is there is not in use by a broker of this ledger. */
static int old_socket_remove(const struct sockaddr_un *address, struct error *err)
{
	struct stat status;
	int fd, used;

	if (lstat(address->sun_path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return error_set(err, -EEXIST, "--socket: '%s' exists and is not a socket",
				 address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	used = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
			   errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	if (used)
		return error_set(err, -EADDRINUSE, "--socket: another process serves '%s'",
				 address->sun_path);
	unlink(address->sun_path);
	return 0;
}

static int server_listen(struct broker_server *server, const char *path, struct error *err)
{
	const int on = 1;
	struct sockaddr_un address;
	int status = address_set(&address, path, err);

	if (status == 0)
		status = old_socket_remove(&address, err);
	if (status < 0)
		return status;
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/*
	 * Before the socket is bound, its mode is that of its file. Accepted sockets inherit
	 * SO_PASSCRED, so the kernel names the sender of each message.
	 */
	if (server->listen_fd < 0 || fchmod(server->listen_fd, 0600) < 0 ||
	    setsockopt(server->listen_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(server->listen_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(server->listen_fd, BACKLOG) < 0)
		return error_set_errno(err, -errno, "--socket: cannot serve '%s'", path);
	server->listen_source = event_loop_add(server->loop, server->listen_fd, EPOLLIN,
					       connection_arrived, server);
	return server->listen_source ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int timer_start(struct broker_server *server, struct error *err)
{
	const struct itimerspec tick = {.it_value.tv_nsec = TICK_NS,
					.it_interval.tv_nsec = TICK_NS};

	server->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (server->timer_fd < 0 || timerfd_settime(server->timer_fd, 0, &tick, NULL) < 0)
		return error_set_errno(err, -errno, "cannot create a timer");
	server->timer_source = event_loop_add(server->loop, server->timer_fd, EPOLLIN,
					      timer_arrived, server);
	return server->timer_source ? 0 : error_set(err, -ENOMEM, "out of memory");
}

int broker_server_create(const struct broker_config *config, struct broker_server **out,
			 struct error *err)
{
	struct broker_server *server = calloc(1, sizeof(*server));
	struct error none;
	int status;

	if (!server)
		return error_set(err, -ENOMEM, "out of memory");
	server->ops = &fleet_client_ops;
	server->log = config->log;
	server->loop = config->loop;
	server->ledger.fd = server->listen_fd = server->timer_fd = -1;
	server->meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	server->psi_fd = psi_open(NULL, &none); /* not on each host */
	status = accounts_create(&config->accounts, &server->accounts, err);
	if (status == 0)
		fleet_look_at_host(server);
	if (status == 0)
		status = ledger_open(&server->ledger, config->ledger, err);
	if (status == 0)
		fleet_restore(server);
	if (status == 0)
		status = server_listen(server, config->socket, err);
	if (status == 0)
		status = timer_start(server, err);
	if (status < 0)
		broker_server_destroy(server);
	else
		*out = server;
	return status;
}

static void descriptor_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

void broker_server_destroy(struct broker_server *server)
{
	if (!server)
		return;
	while (server->clients)
		client_free(server->clients);
	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++) {
		/* Ceilings stay: the next broker continues with them. */
		server->usages[i].high = 0;
		if (server->usage_open[i])
			usage_close(&server->usages[i]);
	}
	event_source_remove(server->listen_source);
	event_source_remove(server->timer_source);
	descriptor_close(server->listen_fd);
	descriptor_close(server->timer_fd);
	descriptor_close(server->meminfo_fd);
	descriptor_close(server->psi_fd);
	if (server->accounts)
		ledger_close(&server->ledger);
	accounts_destroy(server->accounts);
	free(server);
}
