/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The jail of a process of symvm's that has no VM: the broker. It keeps its user, because that user
 * owns the control groups, and gives up the rest.
 */
#ifndef SYMVM_JAIL_DAEMON_H
#define SYMVM_JAIL_DAEMON_H

#include <stdbool.h>

#include "jail/jail.h"
#include "util/error.h"

struct jail_daemon_path {
	const char *path; /* a directory; one that does not exist is left out */
	bool write;	  /* its files may be written, too; none may be made or removed */
};

/*
 * Gives up, for ever: all capabilities, core files, paths other than @paths (ended by a NULL path),
 * TCP, signals to others, and all system calls that jail/rules.c does not list for @kind. The only
 * thread, with all files open. With JAIL_OFF, or in a build with a sanitizer, does nothing. -errno
 * with words.
 */
int jail_daemon_enter(enum jail_mode mode, enum jail_thread kind,
		      const struct jail_daemon_path *paths, struct error *err);

#endif
