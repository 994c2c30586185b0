/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guard is a small process that waits for the VMM's end, whatever its cause, and cleans up things
 * that the jailed VMM may not touch: files in one directory, the terminal's modes. It has no
 * capability, a few system calls, and landlock's permission for the one directory. Nothing that a
 * guest sends reaches it.
 */
#ifndef SYMVM_JAIL_GUARD_H
#define SYMVM_JAIL_GUARD_H

#include <sys/types.h>

#include "util/error.h"

struct jail_guard {
	pid_t pid; /* 0: none */
	int fd;	   /* the guard waits for the other end's close */
};

/* In the guard's process, with the directory or -1. @opaque is a copy, as fork() makes it. */
typedef void (*jail_guard_act)(void *opaque, int dir_fd);

/*
 * Starts a guard that will call @act. @dir_fd: a directory in which it may read, write and remove
 * files, or -1. Of all other descriptors the guard keeps only standard input. A guard started by
 * root runs as the directory's owner. Main thread, before others exist. -errno with words.
 */
int jail_guard_start(struct jail_guard *guard, int dir_fd, jail_guard_act act, void *opaque,
		     struct error *err);

/*
 * Tells the guard to do its work, and waits until it is done. Also works in the main thread's jail.
 */
void jail_guard_end(struct jail_guard *guard);

#endif
