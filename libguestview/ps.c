// SPDX-License-Identifier: BSD-2-Clause
#include "ps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

struct ps_builder {
	struct guest_ps *list;
	size_t capacity;
};

void guest_task_decode(const void *record, struct guest_task *task)
{
	struct sym_task raw;

	memcpy(&raw, record, sizeof(raw));
	*task = (struct guest_task){
		.pid = raw.pid,
		.tgid = raw.tgid,
		.ppid = raw.ppid,
		.uid = raw.uid,
		.state = raw.state > ' ' && raw.state < 0x7f ? (char)raw.state : '?',
		.kernel_thread = raw.flags & SYM_TASK_KERNEL_THREAD,
		.cpu = raw.cpu,
		.threads = raw.threads,
		.rss = raw.rss,
		.utime_ns = raw.utime_ns,
		.stime_ns = raw.stime_ns,
		.start_ns = raw.start_ns,
	};
	_Static_assert(sizeof(task->comm) == sizeof(raw.comm) + 1, "comm and its NUL");
	_Static_assert(sizeof(task->cgroup) == sizeof(raw.cgroup) + 1, "cgroup and its NUL");
	guest_text_copy(task->comm, raw.comm, sizeof(raw.comm));
	guest_text_copy(task->cgroup, raw.cgroup, sizeof(raw.cgroup));
}

static int ps_add(const void *record, void *opaque, struct guest_error *err)
{
	struct ps_builder *builder = opaque;
	struct guest_ps *list = builder->list;

	if (list->count == builder->capacity) {
		size_t capacity = builder->capacity ? 2 * builder->capacity : 256;
		struct guest_task *grown = reallocarray(list->tasks, capacity, sizeof(*grown));

		if (!grown)
			return guest_error_set(err, -ENOMEM, "out of memory for the task list");
		list->tasks = grown;
		builder->capacity = capacity;
	}
	guest_task_decode(record, &list->tasks[list->count++]);
	return 0;
}

int guest_ps(const struct guest *guest, const struct guest_limit *limit, bool threads,
	     struct guest_ps *list, struct guest_error *err)
{
	const struct guest_listing listing = {
		.name = "task list",
		.number = SYM_CALL_TASKS,
		.flags = threads ? SYM_TASKS_THREADS : 0,
		.record = sizeof(struct sym_task),
		.max = GUEST_PS_MAX,
	};
	struct ps_builder builder = {.list = list};
	int status;

	*list = (struct guest_ps){0};
	status = guest_fetch(guest, limit, &listing, ps_add, &builder, &list->complete, err);
	if (status < 0)
		guest_ps_free(list);
	return status;
}

void guest_ps_free(struct guest_ps *list)
{
	free(list->tasks);
	*list = (struct guest_ps){0};
}
