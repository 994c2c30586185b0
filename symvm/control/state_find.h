/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds running VMs, for clients. A VM is addressed by NAME, or by USER/NAME (a user's name or
 * number), by which root reaches the VMs of others. The search covers the places of that user
 * (state_dir.h). Unless $SYMVM_RUNTIME_DIR is set, it also covers each directory named "symvm" in
 * which the kernel knows a listening socket, which finds VMs that were started with another
 * $XDG_RUNTIME_DIR. A directory that does not belong to the user, or that others may write to, is
 * not searched. All functions: one thread.
 */
#ifndef SYMVM_CONTROL_STATE_FIND_H
#define SYMVM_CONTROL_STATE_FIND_H

#include "control/state_dir.h"

/* Checks "NAME" or "USER/NAME", and that the user exists: -EINVAL with words. */
int state_find_check(const char *address, struct error *err);

struct state_found {
	int dir_fd; /* owned */
	uid_t uid;
	const char *name; /* points into the address that was searched */
	char dir[STATE_PATH_MAX];
};

/* Finds the live VM of that @address. The caller closes dir_fd. -ENOENT, -EINVAL. */
int state_find(const char *address, struct state_found *found, struct error *err);

/* Called for each VM. @dir is NULL if its files were removed; then @pid is known. */
typedef void (*state_found_callback)(void *opaque, uid_t uid, const char *dir, const char *name,
				     pid_t pid);

/* Calls @callback for each live VM of this user, or of @all users as far as we may see them. */
int state_find_each(bool all, state_found_callback callback, void *opaque, struct error *err);

#endif
