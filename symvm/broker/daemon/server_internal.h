/* SPDX-License-Identifier: BSD-2-Clause */
/* What server.c, client.c and fleet.c share. */
#ifndef SYMVM_BROKER_DAEMON_SERVER_INTERNAL_H
#define SYMVM_BROKER_DAEMON_SERVER_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/daemon/ledger.h"
#include "broker/daemon/server.h"
#include "broker/daemon/usage.h"
#include "broker/message.h"

#define STRANGERS_MAX  32u /* clients that are not VMs: tools, and VMs before they join */
#define CLIENTS_MAX    (ACCOUNTS_VMS_MAX + STRANGERS_MAX)
#define STRANGER_NS    10000000000ull /* until a client must have joined or taken its answer */
#define STUCK_NS       10000000000ull /* until a VM must have taken what it is told */
#define LINES_BURST    40u	      /* lines of a client that are read at once, */
#define LINES_PER_TICK 5u	      /* and then for each tick */
#define TICK_NS	       250000000ll
#define POLICY_TICKS   4u /* between two decisions, unless a VM is in need */

struct client;

/* What a connection is for: fleet.c. */
struct client_ops {
	void (*request)(struct client *client, const struct message_request *request);
	/* The connection of a VM is lost. */
	void (*lost)(struct broker_server *server, struct accounts_vm *vm);
	/* All that came is handled: carry out what follows. */
	void (*handled)(struct broker_server *server);
};

struct client {
	struct broker_server *server;
	int fd;
	pid_t pid; /* of the sender, by the kernel; 0: not known yet */
	struct event_source *source;
	struct accounts_vm *vm; /* NULL: a stranger */
	uint64_t since_ns;	/* connected, or began to send what is in output */
	unsigned tokens;	/* lines that it may send by now */
	bool ends;		/* after its output */
	struct message_input input;
	char *output;
	size_t output_length, output_sent;
	struct client *next;
};

struct broker_server {
	const struct client_ops *ops;
	struct log *log;
	struct event_loop *loop;
	struct accounts *accounts;
	struct ledger ledger;
	struct usage usages[ACCOUNTS_VMS_MAX];	     /* by index in accounts->vms */
	struct client *vm_clients[ACCOUNTS_VMS_MAX]; /* the same; NULL: absent */
	bool usage_open[ACCOUNTS_VMS_MAX];
	uint64_t recorded[ACCOUNTS_VMS_MAX]; /* the id of the VM whose record the ledger has */
	struct client *clients;		     /* the oldest first */
	unsigned strangers, client_count;
	int listen_fd, timer_fd, meminfo_fd, psi_fd;
	struct event_source *listen_source, *timer_source;
	unsigned ticks;
	bool need; /* a VM is in need: do not wait with the next decision */
};

/* fleet.c */

/* Restores the leases of the ledger whose VMs still live. */
void fleet_restore(struct broker_server *server);
extern const struct client_ops fleet_client_ops;
/* Reads what the host has. */
void fleet_look_at_host(struct broker_server *server);
/* Reads all accounts, asks the policy if it is time, and does what follows. */
void fleet_tick(struct broker_server *server);
/* Writes the ledger, sets ceilings and tells VMs of changes. */
void fleet_carry_out(struct broker_server *server);

/* client.c */

/* Takes over the connection @fd. */
void client_add(struct broker_server *server, int fd);
/* Ends the connection, without a word to the fleet. */
void client_free(struct client *client);
/* Sends @line (stolen; NULL: out of memory, the connection ends). It has no output yet. */
void client_send(struct client *client, char *line);
/* The same with an error. */
void client_refuse(struct client *client, int code, const struct error *err);
/* Gives each client its next tokens, and ends those that take too long. */
void clients_tick(struct broker_server *server, uint64_t now_ns);

#endif
