// SPDX-License-Identifier: GPL-2.0-only
/*
 * SYM_CALL_TASK_STACK: the kernel stack of one task. Tasks, their numbers and their stacks are
 * found and kept by RCU alone, so no worker is needed: it works in a guest whose CPUs all hang.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include "calls.h"
#include "stack.h"

#define SYM_TASK_STACK_TEXT (SYM_MESSAGE_SIZE - sizeof(struct sym_task_stack))

static void sym_task_stack_head(struct task_struct *task, struct sym_task_stack *head)
{
	memset(head, 0, sizeof(*head));
	head->pid = task->pid;
	head->tgid = task->tgid;
	head->cpu = task_cpu(task);
	head->start_ns = task->start_boottime;
	memcpy(head->comm, task->comm, sizeof(head->comm));
	head->comm[sizeof(head->comm) - 1] = '\0';
}

/* Of the task that this CPU runs. */
static size_t sym_task_stack_here(const struct sym_context *context, struct sym_task_stack *head,
				  char *text)
{
	u64 addresses[SYM_STACK_DEPTH];
	unsigned int depth;

	head->state = (u8)task_state_to_char(current);
	head->flags = SYM_TASK_STACK_RUNNING;
	if (!context)
		return 0;
	if (context->cs & 3) {
		head->flags |= SYM_TASK_STACK_USER;
		return 0;
	}
	depth = sym_stack_interrupted(context, addresses, ARRAY_SIZE(addresses));
	return sym_stack_text(addresses, depth, true, text, SYM_TASK_STACK_TEXT);
}

static size_t sym_task_stack_other(struct task_struct *task, struct sym_task_stack *head,
				   char *text)
{
	u64 addresses[SYM_STACK_DEPTH];
	int depth = sym_stack_of_task(task, addresses, ARRAY_SIZE(addresses));

	/* After the stack: a task that has none is dead then. */
	head->state = (u8)task_state_to_char(task);
	if (depth < 0) {
		head->flags = SYM_TASK_STACK_RUNNING;
		return 0;
	}
	if (depth && head->state != 'R')
		snprintf(head->wait_channel, sizeof(head->wait_channel), "%ps",
			 (void *)addresses[0]);
	return sym_stack_text(addresses, depth, false, text, SYM_TASK_STACK_TEXT);
}

static s64 sym_task_stack(const struct symbiotic_request *request)
{
	struct sym_task_stack *head = request->message;
	char *text = (char *)(head + 1);
	struct task_struct *task;
	s64 result = -ESRCH;

	if (!head)
		return -EOPNOTSUPP;
	if (!request->args[0] || request->args[0] > INT_MAX)
		return -EINVAL;
	rcu_read_lock();
	task = pid_task(find_pid_ns(request->args[0], &init_pid_ns), PIDTYPE_PID);
	if (task) {
		sym_task_stack_head(task, head);
		result = sizeof(*head);
		result += task == current ? sym_task_stack_here(request->context, head, text)
					  : sym_task_stack_other(task, head, text);
	}
	rcu_read_unlock();
	return result;
}

SYM_CALLS(task_stack) = {
	{
		.number = SYM_CALL_TASK_STACK,
		.name = "task-stack",
		.owner = THIS_MODULE,
		.handler = sym_task_stack,
	},
	{},
};
