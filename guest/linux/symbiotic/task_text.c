// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where tasks wait, and their command lines. A guest is asked because something in it does not go
 * on. So this waits for no lock of a process and takes no page fault: a command line that is in
 * swap space, or whose process is just changing its mappings, is left out.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include "stack.h"
#include "task_text.h"

#define SYM_ARGS_MAX 4096
#define SYM_TEXT_RECORDS                                                                 \
	DIV_ROUND_UP(sizeof(struct sym_task_text) + SYM_TASK_CHANNEL_MAX + SYM_ARGS_MAX, \
		     sizeof(struct sym_task))
/* Each task may have one record of text. This many more are for long texts, first come, first
 * served. */
#define SYM_TEXT_POOL 8192

/* Takes a reference to the page at @address if it is in memory. Needs the mmap lock. */
static struct page *sym_page_present(struct mm_struct *mm, unsigned long address)
{
	const unsigned int flags = FOLL_NOFAULT | FOLL_ANON;
	struct page *page;
	long got;

#ifdef SYM_GUP_VMAS /* Kbuild: before 6.5 */
	got = get_user_pages_remote(mm, address, 1, flags, &page, NULL, NULL);
#else
	got = get_user_pages_remote(mm, address, 1, flags, &page, NULL);
#endif
	return got == 1 ? page : NULL;
}

static bool sym_args_copy(struct mm_struct *mm, unsigned long address, u8 *out, size_t length)
{
	while (length) {
		size_t offset = offset_in_page(address);
		size_t n = min_t(size_t, length, PAGE_SIZE - offset);
		struct page *page = sym_page_present(mm, address);
		void *from;

		if (!page)
			return false;
		from = kmap_local_page(page);
		memcpy(out, from + offset, n);
		kunmap_local(from);
		put_page(page);
		address += n;
		out += n;
		length -= n;
	}
	return true;
}

/* The command line, at most @room bytes: its length. Flags for what is missing. */
static size_t sym_task_args(struct mm_struct *mm, u8 *out, size_t room, u32 *flags)
{
	unsigned long start, end;
	bool locked, copied;
	size_t length;

	spin_lock(&mm->arg_lock);
	start = mm->arg_start;
	end = mm->arg_end;
	spin_unlock(&mm->arg_lock);
	if (end <= start)
		return 0;
	length = min_t(unsigned long, end - start, min_t(size_t, room, SYM_ARGS_MAX));
	if (length < end - start)
		*flags |= SYM_TASK_ARGS_CUT;
	locked = mmap_read_trylock(mm);
	copied = locked && sym_args_copy(mm, start, out, length);
	if (locked)
		mmap_read_unlock(mm);
	if (!copied) {
		*flags |= SYM_TASK_ARGS_AWAY;
		return 0;
	}
	while (length && !out[length - 1])
		length--;
	return length;
}

/* Where the task waits, to @out; a reference to the memory of a process, or NULL. */
static struct mm_struct *sym_task_look(const struct sym_task *record, char *out, size_t room)
{
	struct mm_struct *mm = NULL;
	struct task_struct *task;
	u64 address;

	out[0] = '\0';
	rcu_read_lock();
	task = pid_task(find_pid_ns(record->pid, &init_pid_ns), PIDTYPE_PID);
	if (task && task->start_boottime == record->start_ns) {
		if (record->state != 'R' && sym_stack_of_task(task, &address, 1) > 0)
			snprintf(out, room, "%ps", (void *)(unsigned long)address);
		if (record->pid == record->tgid)
			mm = get_task_mm(task);
	}
	rcu_read_unlock();
	return mm;
}

/* Adds up to @max (at least 1) records behind @task: how many. */
static unsigned int sym_task_add_text(struct sym_task *task, unsigned int max)
{
	struct sym_task_text *head = (void *)(task + 1);
	size_t room = min_t(size_t, max, SYM_TEXT_RECORDS) * sizeof(*task) - sizeof(*head), size;
	char *text = (char *)(head + 1);
	struct mm_struct *mm;
	unsigned int records;

	memset(head, 0, sizeof(*head));
	mm = sym_task_look(task, text, SYM_TASK_CHANNEL_MAX);
	head->wait_channel = strlen(text);
	if (mm) {
		text += head->wait_channel;
		head->args = sym_task_args(mm, text, room - head->wait_channel, &task->flags);
		mmput_async(mm); /* which may be the last reference, and then takes time */
	}
	size = sizeof(*head) + head->wait_channel + head->args;
	if (size == sizeof(*head))
		return 0;
	records = DIV_ROUND_UP(size, sizeof(*task));
	memset((u8 *)head + size, 0, records * sizeof(*task) - size);
	task->flags |= records << SYM_TASK_TEXT_SHIFT;
	return records;
}

unsigned int sym_tasks_add_texts(const struct sym_task *tasks, unsigned int count, void **data)
{
	size_t most = 2 * (size_t)count + SYM_TEXT_POOL;
	struct sym_task *out = kvmalloc_array(most, sizeof(*out), GFP_KERNEL);
	unsigned int used = 0, i;

	*data = out;
	for (i = 0; out && i < count; i++) {
		out[used] = tasks[i];
		used += 1 + sym_task_add_text(&out[used],
					      most - used - 1 - 2 * (size_t)(count - i - 1));
		cond_resched();
	}
	return used;
}
