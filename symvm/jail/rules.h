/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_JAIL_RULES_H
#define SYMVM_JAIL_RULES_H

#include <seccomp.h>
#include <stddef.h>

/* Which kinds of threads (1 << enum jail_thread) may make a call, and with which argument. */
struct jail_rule {
	int call;
	unsigned threads;
	unsigned compare_count; /* 0 or 1 */
	struct scmp_arg_cmp compare;
};

extern const struct jail_rule jail_rules[];
extern const size_t jail_rule_count;

#endif
