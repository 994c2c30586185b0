// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_TASKS: a listing of tasks, made by a worker. task_text.c adds the texts. */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include "calls.h"
#include "internal.h"
#include "deferred.h"
#include "task_text.h"

static u64 sym_task_rss(struct task_struct *task)
{
	u64 rss = 0;

	/* After a panic its owner may be a CPU that stands still, and this is an atomic call. */
	if (!READ_ONCE(sym_panicked))
		task_lock(task);
	else if (!spin_trylock(&task->alloc_lock))
		return 0;
	if (task->mm)
		rss = (u64)get_mm_rss(task->mm) << PAGE_SHIFT;
	task_unlock(task);
	return rss;
}

/* With @threads the thread's times; else the process's, which include threads that ended. */
static void sym_task_times(struct task_struct *task, bool threads, struct sym_task *record)
{
	const struct task_struct *thread;

	record->utime_ns = task->utime;
	record->stime_ns = task->stime;
	if (threads)
		return;
	record->utime_ns = READ_ONCE(task->signal->utime);
	record->stime_ns = READ_ONCE(task->signal->stime);
	for_each_thread(task, thread) {
		record->utime_ns += READ_ONCE(thread->utime);
		record->stime_ns += READ_ONCE(thread->stime);
	}
}

static void sym_task_record(struct task_struct *task, bool threads, struct sym_task *record)
{
	memset(record, 0, sizeof(*record));
	record->pid = task->pid;
	record->tgid = task->tgid;
	record->ppid = rcu_dereference(task->real_parent)->tgid;
	record->uid = __kuid_val(__task_cred(task)->uid);
	record->state = (u8)task_state_to_char(task);
	record->flags = task->flags & PF_KTHREAD ? SYM_TASK_KERNEL_THREAD : 0;
	record->cpu = task_cpu(task);
	record->threads = get_nr_threads(task);
	record->rss = sym_task_rss(task);
	record->start_ns = task->start_boottime;
	sym_task_times(task, threads, record);
	memcpy(record->comm, task->comm, sizeof(record->comm));
	record->comm[sizeof(record->comm) - 1] = '\0';
	symbiotic_task_cgroup(task, record->cgroup, sizeof(record->cgroup));
}

static bool sym_task_listed(const struct task_struct *task, bool threads)
{
	return threads || thread_group_leader((struct task_struct *)task);
}

/* Fills up to @max records, of the tasks from @first on; returns how many tasks there are. */
static unsigned int sym_tasks_walk(bool threads, struct sym_task *records, unsigned int first,
				   unsigned int max)
{
	struct task_struct *process, *task;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (!sym_task_listed(task, threads))
			continue;
		if (count >= first && count - first < max)
			sym_task_record(task, threads, &records[count - first]);
		count++;
	}
	rcu_read_unlock();
	return count;
}

/* Tasks may start while the memory is allocated: leave some room, then take as many as fit. */
static ssize_t sym_tasks_produce(u64 flags, void **data)
{
	bool threads = flags & SYM_TASKS_THREADS;
	unsigned int max = sym_tasks_walk(threads, NULL, 0, 0) + 64;
	struct sym_task *records;
	unsigned int count;

	records = kvmalloc_array(max, sizeof(*records), GFP_KERNEL);
	if (!records)
		return -ENOMEM;
	count = min(sym_tasks_walk(threads, records, 0, max), max);
	if (flags & SYM_TASKS_TEXTS) {
		count = sym_tasks_add_texts(records, count, data);
		kvfree(records);
		return *data ? count * sizeof(*records) : -ENOMEM;
	}
	*data = records;
	return count * sizeof(*records);
}

static DEFINE_SYM_DEFERRED(sym_tasks_deferred, sym_tasks_produce, sizeof(struct sym_task));

static void sym_tasks_stop(void)
{
	sym_deferred_stop(&sym_tasks_deferred);
}

/*
 * After a panic no worker runs, but nothing changes either. So the pieces of a listing are made in
 * the calls that fetch them, and its cookie is its flags.
 */
static s64 sym_tasks_after_panic(u64 cookie, u64 offset, u64 flags, struct sym_task *records)
{
	const unsigned int max = SYM_MESSAGE_SIZE / sizeof(*records);
	u64 first = offset / sizeof(*records);
	unsigned int count;

	if (!cookie)
		return 1 + (flags & SYM_TASKS_THREADS);
	if (cookie > 1 + SYM_TASKS_THREADS)
		return -ESTALE;
	if (offset % sizeof(*records) || first > S32_MAX)
		return -EINVAL;
	count = sym_tasks_walk(cookie - 1, records, first, max);
	return count > first ? min_t(u64, count - first, max) * sizeof(*records) : 0;
}

static s64 sym_tasks(const struct symbiotic_request *request)
{
	const u64 cookie = request->args[0];

	if (!request->message)
		return -EOPNOTSUPP;
	if (READ_ONCE(sym_panicked))
		return sym_tasks_after_panic(cookie, request->args[1], request->args[2],
					     request->message);
	if (cookie)
		return sym_deferred_fetch(&sym_tasks_deferred, cookie, request->args[1],
					  request->message, SYM_MESSAGE_SIZE);
	if (request->args[1] || request->args[2] & ~(u64)(SYM_TASKS_THREADS | SYM_TASKS_TEXTS))
		return -EINVAL;
	return sym_deferred_start(&sym_tasks_deferred, request->args[2]);
}

SYM_CALLS(tasks) = {
	{
		.number = SYM_CALL_TASKS,
		.name = "tasks",
		.owner = THIS_MODULE,
		.handler = sym_tasks,
		.stop = sym_tasks_stop,
	},
	{},
};
