/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's connection to its broker. The broker may end and start again at any time. The VMM's jail
 * allows no connect(), so a process that is forked before the jail closes, the connector, connects
 * again: it knows the socket's path, takes nothing but a byte, and passes a connected socket. All
 * functions: the main loop's thread, or the main thread before it runs.
 */
#ifndef SYMVM_SERVICES_BROKER_LINK_H
#define SYMVM_SERVICES_BROKER_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"
#include "util/event_loop.h"

struct broker_link;

struct broker_link_ops {
	/* A line came from the broker. */
	void (*line)(void *opaque, const char *line, size_t length);
	/* The broker is there again: the VM must join by broker_link_send(). */
	void (*connected)(void *opaque);
	/* The connection is lost. */
	void (*lost)(void *opaque);
};

/* Connects to the socket @path, and forks the connector. -errno with words. */
int broker_link_create(const char *path, const struct broker_link_ops *ops, void *opaque,
		       struct broker_link **link, struct error *err);
void broker_link_destroy(struct broker_link *link);
/* Waits for the next line, at most @ms, before the loop runs; calls ops->line(). -ETIMEDOUT,
 * -EPIPE. */
int broker_link_wait(struct broker_link *link, unsigned ms);
/* From now on the loop serves the connection. -ENOMEM. */
int broker_link_watch(struct broker_link *link, struct event_loop *loop);
/*
 * Sends @line (stolen; NULL is allowed). It is dropped if there is no connection, or if the last
 * one is still on its way: then false.
 */
bool broker_link_send(struct broker_link *link, char *line);
bool broker_link_is_connected(const struct broker_link *link);
/* Ends the connection; ops->lost() is called. */
void broker_link_drop(struct broker_link *link);
/* Asks the connector for a new connection, if there is none. Does not wait. */
void broker_link_retry(struct broker_link *link);

#endif
