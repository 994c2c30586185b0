/* SPDX-License-Identifier: BSD-2-Clause */
/* Uses a built filter (jail/filters.h). */
#ifndef SYMVM_JAIL_FILTER_H
#define SYMVM_JAIL_FILTER_H

#include <stdint.h>

#include "jail/filters.h"

/*
 * Makes a copy of the filter for @kind in a VM with @features, with @refusal (SECCOMP_RET_...) for
 * calls that are not listed, and with this process's id if a rule needs it. The caller frees
 * @program->filter. -ENOMEM. -ENOENT: no such filter was built.
 */
int jail_filter_make(enum jail_thread kind, unsigned features, uint32_t refusal,
		     struct sock_fprog *program);

/* Puts the calling thread under @program. Needs no_new_privs. -errno. */
int jail_filter_apply(const struct sock_fprog *program);

/* Both, for one thread. */
int jail_filter_enter(enum jail_thread kind, unsigned features, uint32_t refusal);

#endif
