/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state directory, where each running VM has a socket NAME.sock and a lock
 * file NAME.lock. The lock is held as long as the VMM lives, however it dies:
 * it alone says whether a name is taken.
 */
#ifndef SYMVM_CONTROL_STATE_DIR_H
#define SYMVM_CONTROL_STATE_DIR_H

#include <stdbool.h>
#include <sys/un.h>

#include "util/error.h"

struct state_name {
	int dir_fd;
	int lock_fd;
	char name[64];
	struct sockaddr_un address;
};

/* Letters, digits, ".", "_" and "-", 1 to VM_NAME_MAX bytes, no leading dot or dash: -EINVAL. */
int state_name_check(const char *name, struct error *err);

/*
 * Opens the state directory: $SYMVM_RUNTIME_DIR, else $XDG_RUNTIME_DIR/symvm,
 * else /run/symvm. It must belong to this user and be writable by no other
 * (-EPERM). @create makes it (mode 0700); without it, a missing one gives -ENOENT.
 * @path gets its path. Returns a descriptor.
 */
int state_dir_open(bool create, char *path, size_t path_size, struct error *err);

/*
 * Takes @name for this process until state_name_release(), and removes what a VMM that was
 * killed left of it. -EEXIST when a live VMM has it.
 */
int state_name_claim(struct state_name *state, const char *name, struct error *err);
/* Unlinks socket and lock file, and lets go of the name. */
void state_name_release(struct state_name *state);

/*
 * Fills in @state's address for a client of @name; -ENOENT with words when no live VMM has
 * that name. No lock is taken and nothing is changed.
 */
int state_name_lookup(const char *name, struct sockaddr_un *address, struct error *err);

/* Whether a live VMM holds the lock file NAME.lock in @dir_fd. Takes no lock. */
bool state_name_is_live(int dir_fd, const char *name);

#endif
