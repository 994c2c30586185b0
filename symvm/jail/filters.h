/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seccomp filters: for each kind of thread one for each set of features that matters to it.
 * libseccomp makes them from jail/rules.c while symvm is built (jail/gen_filters.c), so that no
 * start waits for it, and no running VMM holds it.
 */
#ifndef SYMVM_JAIL_FILTERS_H
#define SYMVM_JAIL_FILTERS_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "jail/jail.h"

/* What a filter does with a call that is not on its list; the user may want another (--jail). */
#define JAIL_FILTER_REFUSAL SECCOMP_RET_KILL_PROCESS

/*
 * Placeholder in the built filters for the process's own id, which jail_filter_make() fills in. No
 * rule may compare with this number for another purpose.
 */
#define JAIL_OWN_PID 0x7eadbeefu

struct jail_filter {
	enum jail_thread kind;
	unsigned features; /* enum jail_feature, those that matter to @kind */
	struct sock_fprog program;
};

extern const struct jail_filter jail_filters[];
extern const size_t jail_filter_count;

/* By enum jail_thread: the features that matter to the kind. */
extern const unsigned jail_filter_features[JAIL_THREAD_COUNT];

/* The name of a system call of x86-64, or NULL if libseccomp did not know it. */
const char *jail_call_name(int call);

#endif
