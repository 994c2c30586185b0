/* SPDX-License-Identifier: BSD-2-Clause */
/* The user that a VMM runs as, and the capabilities that it gives up. */
#ifndef SYMVM_JAIL_USER_H
#define SYMVM_JAIL_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/error.h"

struct jail_user {
	uid_t uid;
	gid_t gid;
	bool change;	    /* it is not our own user */
	bool wanted;	    /* the operator asked for it: no other will do */
	const char *reason; /* in words; constant */
};

/*
 * Chooses the user. @text is the argument of --user, or NULL. Only root changes: to the user of
 * --user, else to the system user `symvm`, else to the user who called sudo or pkexec, else to an
 * id that no account and no other VM has (JAIL_FREE_UID plus the process's id). Main thread.
 * -EINVAL with words if @text names no user, -EPERM if it names another one and we are not root.
 */
int jail_user_choose(const char *text, struct jail_user *user, struct error *err);

/* Beyond the ids of accounts, of containers and of systemd's dynamic users (its UIDS-GIDS.md). */
#define JAIL_FREE_UID 1879048192u

/*
 * Becomes @user with no other group, and gives up all capabilities: effective, permitted,
 * inheritable, ambient, and, if we have the right, the bounding set (*@bounding_empty), with
 * securebits locked; sets no_new_privs too. To be called while there is one thread. -errno: the
 * process must end then. An id that the host does not let us have is left out unless user->wanted;
 * @user then says so.
 */
int jail_user_become(struct jail_user *user, bool *bounding_empty);

#endif
