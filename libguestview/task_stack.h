/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel stack of one task of the guest (SYM_CALL_TASK_STACK). */
#ifndef GUESTVIEW_TASK_STACK_H
#define GUESTVIEW_TASK_STACK_H

#include "stack.h"

struct guest_task_stack {
	uint32_t pid; /* of the thread */
	uint32_t tgid;
	uint32_t cpu; /* on which it runs, or last ran */
	char state;   /* as in struct guest_task */
	bool running; /* on a CPU, at the moment of the answer */
	bool user;    /* and in user mode */
	uint64_t start_ns;
	char comm[17];
	char wait_channel[49];	  /* the kernel function in which it waits; empty: none */
	struct guest_stack stack; /* may be empty: of a zombie, or of a task that runs */
};

/*
 * Asks for the kernel stack of the task with thread number @pid (not 0), from any vCPU. If the task
 * runs on another vCPU, that one is asked, too; if that one cannot say, `running` is set and the
 * stack is empty. In addition to guest_call_any()'s errors: -ESRCH, the guest has no such task;
 * -EOPNOTSUPP, its module does not know this call; -EPROTO, the answer is malformed; -EIO, another
 * refusal.
 */
GUEST_API int guest_task_stack(const struct guest *guest, const struct guest_limit *limit,
			       uint32_t pid, struct guest_task_stack *task,
			       struct guest_error *err);

/*
 * Decodes an answer of @length bytes at @message. -EPROTO if it is too short or too long. Any
 * thread.
 */
GUEST_API int guest_task_stack_decode(const void *message, size_t length,
				      struct guest_task_stack *task);

#endif
