/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel stacks, for the calls that give them. Safe in an atomic call (call_stack.c). */
#ifndef SYMBIOTIC_STACK_H
#define SYMBIOTIC_STACK_H

#include <linux/types.h>

struct sym_context;
struct task_struct;

#define SYM_STACK_DEPTH 64

/* The kernel stack that the call interrupted, at least its innermost address: the depth. */
unsigned int sym_stack_interrupted(const struct sym_context *context, u64 *addresses,
				   unsigned int max);

/*
 * The stack of a task that does not run, without the scheduler's functions: the depth. 0: it has no
 * stack any more. -EBUSY: it runs. Needs rcu_read_lock().
 */
int sym_stack_of_task(struct task_struct *task, u64 *addresses, unsigned int max);

/*
 * Whole lines, "symbol+offset/size [module]\n" each: their length. With @interrupted the first
 * address is that of an instruction, all others are return addresses.
 */
size_t sym_stack_text(const u64 *addresses, unsigned int depth, bool interrupted, char *out,
		      size_t size);

#endif
