/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seccomp filters, one for each kind of thread. libseccomp makes them from jail/rules.c while
 * symvm is built (jail/compile.c), so that no start waits for it, and no running VMM holds it.
 */
#ifndef SYMVM_JAIL_FILTERS_H
#define SYMVM_JAIL_FILTERS_H

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "jail/jail.h"

/* What a filter does with a call that is not on its list; the user may want another (--jail). */
#define JAIL_FILTER_REFUSAL SECCOMP_RET_KILL_PROCESS

/* By enum jail_thread. */
extern const struct sock_fprog jail_filters[JAIL_THREAD_COUNT];

#endif
