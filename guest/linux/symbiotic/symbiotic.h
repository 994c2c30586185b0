/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What symbiotic.ko offers to other modules: calls that the VMM may make, and doorbells that ask
 * the VMM something. Without a symbiotic VMM all of it can be used, and does nothing.
 */
#ifndef SYMBIOTIC_H
#define SYMBIOTIC_H

#include <linux/types.h>
#include <symbiotic/abi.h>

struct module;
struct task_struct;

/*
 * One call that is served now. Valid until the handler returns.
 *
 * @args:    as the VMM gave them: check each one
 * @context: a copy of the interrupted context; NULL unless the VMM gave it
 * @message: SYM_MESSAGE_SIZE bytes for a result that does not fit 64 bits; NULL if the VMM granted
 *           no SymSpy pages (then return -EOPNOTSUPP). The handler returns the number of bytes that
 *           it wrote.
 */
struct symbiotic_request {
	u64 args[SYM_CALL_ARGS];
	const struct sym_context *context;
	void *message;
};

/*
 * A call that this guest answers.
 *
 * @number:  its range gives its class; only the first SYMBIOTIC_CALLS_MAX of a class can be used
 * @name:    for the statistics in debugfs
 * @owner:   the module that has the handler
 * @handler: returns a result or a negative errno
 * @stop:    optional; symbiotic_call_unregister() runs it after the last handler returned. It may
 *           sleep
 *
 * A handler of the atomic class runs at an arbitrary instruction of the kernel or a process, in an
 * NMI-like context: notrace, no lock but trylock, no sleep, no allocation, no printk, no FPU, no
 * user memory. RCU is watching. A handler of the safepoint class runs inside symbiotic_doorbell():
 * task context, preemption off, interrupts on. It may use spinlocks and RCU. Work that must sleep
 * goes to a worker.
 */
struct symbiotic_call {
	u32 number;
	const char *name;
	struct module *owner;
	s64 (*handler)(const struct symbiotic_request *request);
	void (*stop)(void);
};

#define SYMBIOTIC_CALLS_MAX 256u

/*
 * symbiotic_call_register - let the VMM make this call
 *
 * @call stays the caller's and must live until symbiotic_call_unregister() has returned. May sleep.
 * Returns 0, -EINVAL (the number is in no class, or handler or name is missing), -ERANGE (the
 * number is beyond SYMBIOTIC_CALLS_MAX of its class), -EEXIST (the number is taken) or -ENOMEM.
 */
int symbiotic_call_register(const struct symbiotic_call *call);

/*
 * symbiotic_call_unregister - the opposite; on return the handler does not run any more
 *
 * A module that registered calls must unregister them before it goes. May sleep. A call that is not
 * registered is ignored.
 */
void symbiotic_call_unregister(const struct symbiotic_call *call);

/*
 * symbiotic_doorbell - ask the VMM, which may call back while it decides
 *
 * @reason:  SYM_DOORBELL_*
 * @request: @count (at most 6) arguments of the doorbell
 * @verdict: the VMM's answer; may be NULL
 *
 * Costs an exit, and one more for each call that the VMM makes. Needs task context with interrupts
 * on, and does not sleep. Handlers of safepoint calls run inside, with preemption off. Returns 0,
 * -ENODEV (no symbiotic VMM, or this CPU is not registered), -EINVAL (too many arguments, or
 * another context), -EBUSY (rung from a handler of a doorbell), -EIO (the VMM did not take the
 * doorbell: unknown cookie), -ELOOP (the VMM calls without end). Without an error *@verdict is the
 * VMM's value or its negative errno (-EAGAIN: rate limit).
 */
int symbiotic_doorbell(u32 reason, const u64 *request, unsigned int count, s64 *verdict);

/* Whether a symbiotic VMM was found and accepted this guest. Any context. */
bool symbiotic_active(void);

/*
 * The guest-physical address of the VMM's slot store number @index (struct sym_swap_header), or 0
 * if there is none. Task context.
 */
u64 symbiotic_swap_window(unsigned int index);

/*
 * symbiotic_kernel_symbol - the address of a kernel symbol that is not exported, or 0
 *
 * May sleep. A function that was found in this way may lack its ENDBR: call it directly
 * (static_call_update()), never through a pointer. Any symbol can be absent: have a fallback.
 */
unsigned long symbiotic_kernel_symbol(const char *name);

/*
 * For handlers of calls: these lock nothing and allocate nothing. The first copies the tail of the
 * task's cgroup path to @out, NUL terminated, and needs rcu_read_lock(). The pressure is PSI's
 * "some avg10" of memory in hundredths of a percent, 0 if the kernel has no PSI.
 */
void symbiotic_task_cgroup(struct task_struct *task, char *out, size_t size);
void symbiotic_meminfo(struct sym_meminfo *info);
u32 symbiotic_memory_pressure(void);

#endif
