/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The broker's daemon: serves the socket, reads the VMs' accounts, carries out what
 * broker/accounts.h decides, and keeps the ledger. One thread; it waits for nothing but events. The
 * caller closes the jail between broker_server_create() and event_loop_run().
 */
#ifndef SYMVM_BROKER_DAEMON_SERVER_H
#define SYMVM_BROKER_DAEMON_SERVER_H

#include "broker/accounts.h"
#include "util/error.h"
#include "util/event_loop.h"
#include "util/log.h"

struct broker_server;

struct broker_config {
	const char *socket; /* the path of the socket */
	const char *ledger; /* the path of the ledger */
	struct accounts_config accounts;
	struct event_loop *loop;
	struct log *log;
};

/*
 * Takes the ledger's lock, restores the leases in it, and listens. A socket that an earlier broker
 * left is replaced. -EEXIST: a broker runs already; -errno with words.
 */
int broker_server_create(const struct broker_config *config, struct broker_server **server,
			 struct error *err);
/* Ends all connections. VMs keep their leases, and the ledger stays. The loop does not run. */
void broker_server_destroy(struct broker_server *server);

#endif
