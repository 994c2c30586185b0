/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_JAIL_RULES_H
#define SYMVM_JAIL_RULES_H

#include <seccomp.h>
#include <stddef.h>

#include "jail/filters.h"

#define JAIL_COMPARES_MAX 3

/* Which kinds of threads (1 << enum jail_thread) may make a call, and with which arguments. */
struct jail_rule {
	int call;
	unsigned threads;
	unsigned needs; /* the rule holds only in a VM that has one of these; 0: in each VM */
	int refusal;	/* 0: allowed; else the call fails with this errno value */
	unsigned compare_count;
	struct scmp_arg_cmp compares[JAIL_COMPARES_MAX];
};

extern const struct jail_rule jail_rules[];
extern const size_t jail_rule_count;

#endif
