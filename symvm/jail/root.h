/* SPDX-License-Identifier: BSD-2-Clause */
/* Namespaces of a VMM's own: an empty root directory, and a network without interfaces. */
#ifndef SYMVM_JAIL_ROOT_H
#define SYMVM_JAIL_ROOT_H

#include <stdbool.h>

struct jail_root_state {
	bool user_namespace;
	bool mount_namespace;
	bool changed_root; /* without a namespace: to a directory that was removed */
	bool network_namespace;
	int error; /* the first that was refused; 0 */
};

/*
 * Moves the process to a mount namespace whose root is empty and read-only, and, with @network
 * false, to a network namespace without any interface. Open descriptors keep what they refer to. A
 * user other than root gets a user namespace first, if the host allows it. Root without the right
 * to mount changes to a removed directory, which is empty, instead. Steps that are refused are left
 * out: @state says so. To be called while there is one thread.
 */
void jail_root_enter(bool network, struct jail_root_state *state);

#endif
