/* SPDX-License-Identifier: BSD-2-Clause */
/* As which user a VMM runs, and without which capabilities. */
#ifndef SYMVM_JAIL_USER_H
#define SYMVM_JAIL_USER_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/error.h"

struct jail_user {
	uid_t uid;
	gid_t gid;
	bool change;	    /* it is another than ours */
	bool wanted;	    /* the operator asked for it: no other will do */
	const char *reason; /* in words; constant */
};

/*
 * Chooses the user. @text is what --user says, or NULL. Only root changes: to the user of --user,
 * else to the system user `symvm`, else to the one who called sudo or pkexec, else to an id that
 * no account has and no other VM (JAIL_FREE_UID plus the process's id). Main thread. -EINVAL with
 * words where @text names nobody, -EPERM where it names another and we are not root.
 */
int jail_user_choose(const char *text, struct jail_user *user, struct error *err);

/* Beyond the ids of accounts, of containers and of systemd's dynamic users (its UIDS-GIDS.md). */
#define JAIL_FREE_UID 1879048192u

/*
 * Becomes @user with no other group, and gives up all capabilities: effective, permitted,
 * inheritable, ambient, and, where we have the right, the bounding set (*@bounding_empty), with
 * securebits locked; no_new_privs too. To be called while there is one thread. -errno: the process
 * must end then. An id that the host does not let us have is left out unless user->wanted; @user
 * then says so.
 */
int jail_user_become(struct jail_user *user, bool *bounding_empty);

#endif
