// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_WHOAMI: the task that runs on this CPU. */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/kernfs.h>
#include <linux/module.h>
#include <linux/sched/task_stack.h>
#include <asm/ptrace.h>
#include "calls.h"
#include "compat.h"
#include "internal.h"

/*
 * symbiotic_task_cgroup - the tail of a task's path in the unified cgroup hierarchy
 *
 * Under RCU, without kernfs' locks, so an atomic call may use it. The task's css_set and its
 * cgroups are freed after a grace period. A cgroup holds its kernfs node, and the node holds its
 * ancestors. In this hierarchy nodes are neither renamed nor moved. A path longer than @size loses
 * its front.
 */
void symbiotic_task_cgroup(struct task_struct *task, char *out, size_t size)
{
	const struct kernfs_node *node;
	const struct cgroup *group;
	size_t start = size - 1;

	out[start] = '\0';
	group = task_css_set(task)->dfl_cgrp;
	node = group ? group->kn : NULL;
	for (; node && sym_kernfs_parent(node) && start; node = sym_kernfs_parent(node)) {
		const char *name = sym_kernfs_name(node);
		size_t whole = strnlen(name, NAME_MAX), length = min(whole, start);

		start -= length;
		memcpy(out + start, name + whole - length, length);
		if (start)
			out[--start] = '/';
	}
	if (start == size - 1 && start)
		out[--start] = '/';
	memmove(out, out + start, size - start);
	memset(out + size - start, 0, start);
}
EXPORT_SYMBOL_GPL(symbiotic_task_cgroup);

/*
 * User registers: those of the interrupted context, or those saved when the task entered the
 * kernel. In the first instructions of an entry the saved ones are still those of the entry before.
 */
static void sym_whoami_user(struct sym_whoami *who, const struct sym_context *context)
{
	const struct pt_regs *regs = task_pt_regs(current);

	if (context && (context->cs & 3)) {
		who->user_rip = context->rip;
		who->user_rsp = context->rsp;
		return;
	}
	if (context)
		who->flags |= SYM_WHOAMI_IN_KERNEL;
	if (current->flags & PF_KTHREAD) {
		who->flags |= SYM_WHOAMI_KERNEL_THREAD;
		return;
	}
	who->user_rip = regs->ip;
	who->user_rsp = regs->sp;
}

static s64 sym_whoami(const struct symbiotic_request *request)
{
	struct sym_whoami *who = request->message;

	if (!who)
		return -EOPNOTSUPP;
	memset(who, 0, sizeof(*who));
	who->pid = current->pid;
	who->tgid = current->tgid;
	who->cpu = raw_smp_processor_id();
	who->start_ns = current->start_boottime;
	if (is_idle_task(current))
		who->flags |= SYM_WHOAMI_IDLE;
	rcu_read_lock();
	who->ppid = rcu_dereference(current->real_parent)->tgid;
	who->uid = __kuid_val(__task_cred(current)->uid);
	symbiotic_task_cgroup(current, who->cgroup, sizeof(who->cgroup));
	rcu_read_unlock();
	memcpy(who->comm, current->comm, sizeof(who->comm));
	who->comm[sizeof(who->comm) - 1] = '\0';
	sym_whoami_user(who, request->context);
	return sizeof(*who);
}

SYM_CALLS(whoami) = {
	{
		.number = SYM_CALL_WHOAMI,
		.name = "whoami",
		.owner = THIS_MODULE,
		.handler = sym_whoami,
	},
	{},
};
