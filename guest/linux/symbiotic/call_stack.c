// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_STACK: the kernel stack that the call interrupted. */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <asm/ptrace.h>
#include <asm/unwind.h>
#include "calls.h"
#include "internal.h"
#include "stack.h"

/*
 * The kernel's own unwinder, which profilers use in NMIs. It takes no lock, checks each stack
 * address before it reads it, and stops at a frame that it cannot unwind.
 */
unsigned int sym_stack_interrupted(const struct sym_context *context, u64 *addresses,
				   unsigned int max)
{
	struct unwind_state state;
	unsigned int depth = 0;
	struct pt_regs regs = {
		.ip = context->rip,
		.sp = context->rsp,
		.bp = context->rbp,
		.cs = context->cs,
		.flags = context->rflags,
	};

	addresses[depth++] = regs.ip;
	for (unwind_start(&state, current, &regs, NULL); !unwind_done(&state) && depth < max;
	     unwind_next_frame(&state)) {
		unsigned long address = unwind_get_return_address(&state);

		if (!address)
			break;
		addresses[depth++] = address;
	}
	return depth;
}

/* As /proc/PID/stack and /proc/PID/wchan, which begin at the function that called the scheduler. */
static bool sym_in_scheduler(unsigned long address)
{
	return address >= sym_ksyms.sched_text_start && address < sym_ksyms.sched_text_end;
}

static unsigned int sym_stack_sleeping(struct task_struct *task, u64 *addresses, unsigned int max)
{
	struct unwind_state state;
	unsigned int depth = 0;

	for (unwind_start(&state, task, NULL, NULL); !unwind_done(&state) && depth < max;
	     unwind_next_frame(&state)) {
		unsigned long address = unwind_get_return_address(&state);

		if (!address)
			break;
		if (!sym_in_scheduler(address))
			addresses[depth++] = address;
	}
	return depth;
}

static bool sym_task_runs(const struct task_struct *task)
{
#ifdef CONFIG_SMP
	return READ_ONCE(task->on_cpu);
#else
	return task == current;
#endif
}

static unsigned long sym_task_switches(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

/*
 * A stack is given back, by call_rcu(), after its counter became 0. So while RCU is held, a stack
 * whose counter was not 0 stays mapped, and no reference is needed, which could not be dropped
 * here. The task may run meanwhile. Then the unwinder reads a stack that changes, which it
 * withstands, and the result is dropped.
 */
int sym_stack_of_task(struct task_struct *task, u64 *addresses, unsigned int max)
{
	unsigned int tries, depth;

	for (tries = 0; tries < 4; tries++) {
		unsigned long switches = sym_task_switches(task);

		if (sym_task_runs(task))
			break;
		if (!refcount_read(&task->stack_refcount))
			return 0;
		smp_rmb(); /* the counters and on_cpu before the stack */
		depth = sym_stack_sleeping(task, addresses, max);
		smp_rmb(); /* and again after it */
		if (!sym_task_runs(task) && sym_task_switches(task) == switches &&
		    refcount_read(&task->stack_refcount))
			return depth;
	}
	return -EBUSY;
}

/* An oops in an NMI prints symbols in the same way. */
size_t sym_stack_text(const u64 *addresses, unsigned int depth, bool interrupted, char *out,
		      size_t size)
{
	size_t length = 0;
	unsigned int i;

	for (i = 0; i < depth; i++) {
		/* A return address may be behind the end of its function. */
		const char *format = interrupted && !i ? "%pS\n" : "%pB\n";
		size_t n = snprintf(out + length, size - length, format, (void *)addresses[i]);

		if (n >= size - length)
			break;
		length += n;
	}
	return length;
}

static s64 sym_stack(const struct symbiotic_request *request)
{
	u64 addresses[SYM_STACK_DEPTH];
	unsigned int depth;

	if (!request->message)
		return -EOPNOTSUPP;
	if (!request->context)
		return -ENODATA;
	if (request->args[0] & ~(u64)SYM_STACK_SYMBOLS)
		return -EINVAL;
	if (request->context->cs & 3)
		return 0;
	depth = sym_stack_interrupted(request->context, addresses, ARRAY_SIZE(addresses));
	if (request->args[0] & SYM_STACK_SYMBOLS)
		return sym_stack_text(addresses, depth, true, request->message, SYM_MESSAGE_SIZE);
	memcpy(request->message, addresses, depth * sizeof(addresses[0]));
	return depth * sizeof(addresses[0]);
}

SYM_CALLS(stack) = {
	{
		.number = SYM_CALL_STACK,
		.name = "stack",
		.owner = THIS_MODULE,
		.handler = sym_stack,
	},
	{},
};
