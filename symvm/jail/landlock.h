/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_JAIL_LANDLOCK_H
#define SYMVM_JAIL_LANDLOCK_H

#include <stdbool.h>

/* A directory whose files may be read, and written if @write; not made, removed or renamed. */
struct landlock_path {
	int fd;
	bool write;
};

/* What remains allowed. */
struct landlock_exceptions {
	int clear_dir; /* files below it may be read, written and removed; -1: none */
	const struct landlock_path *paths;
	unsigned path_count;
	bool tcp_connect;
};

/* What came into force. */
struct landlock_state {
	int abi;	 /* 0: the kernel has no landlock, or it is switched off */
	unsigned scopes; /* LANDLOCK_SCOPE_...: abstract sockets (1), signals (2) */
};

/* The ABI of the host's kernel; 0 if it has no landlock, or has it switched off. Any thread. */
int landlock_abi(void);

/*
 * Takes away, for ever, from the calling thread and from all threads and processes that it makes:
 * paths (files that are open already stay), TCP ports (from ABI 4 on), device ioctls of files
 * opened later (5), signals to and abstract sockets of others (6), and sockets by path (9). Needs
 * no_new_privs. Call it while there is one thread: then all threads are in one domain, and can
 * signal each other on each kernel. 0 also without landlock, see @state. -errno.
 * Documentation/userspace-api/landlock.rst.
 */
int landlock_enter(const struct landlock_exceptions *exceptions, struct landlock_state *state);

#endif
