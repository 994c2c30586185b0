// SPDX-License-Identifier: BSD-2-Clause
#include "ps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch.h"

struct ps_builder {
	struct guest_ps *list;
	size_t capacity;
	size_t text_room;
	unsigned records; /* of the last task's text that are still to come */
	bool begins;	  /* the next one is the first of them */
	size_t skip;	  /* bytes of the next one that are not part of the command line */
	size_t args;	  /* bytes of the command line that are still to come */
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
		.state = guest_task_state(raw.state),
		.kernel_thread = raw.flags & SYM_TASK_KERNEL_THREAD,
		.cpu = raw.cpu,
		.threads = raw.threads,
		.rss = raw.rss,
		.utime_ns = raw.utime_ns,
		.stime_ns = raw.stime_ns,
		.start_ns = raw.start_ns,
		.args_cut = raw.flags & (SYM_TASK_ARGS_CUT | SYM_TASK_ARGS_AWAY),
	};
	_Static_assert(sizeof(task->comm) == sizeof(raw.comm) + 1, "comm and its NUL");
	_Static_assert(sizeof(task->cgroup) == sizeof(raw.cgroup) + 1, "cgroup and its NUL");
	guest_text_copy(task->comm, raw.comm, sizeof(raw.comm));
	guest_text_copy(task->cgroup, raw.cgroup, sizeof(raw.cgroup));
}

static int ps_add_task(struct ps_builder *builder, const void *record, struct guest_error *err)
{
	struct guest_ps *list = builder->list;

	if (list->count == GUEST_PS_MAX)
		return 1;
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

/* The first record of a task's text, which has the lengths and the wait channel. */
static int ps_begin_text(struct ps_builder *builder, const uint8_t *record, struct guest_error *err)
{
	struct guest_task *task = &builder->list->tasks[builder->list->count - 1];
	size_t most = builder->records * sizeof(struct sym_task), room = sizeof(task->wait_channel);
	struct sym_task_text head;

	memcpy(&head, record, sizeof(head));
	if (head.wait_channel > SYM_TASK_CHANNEL_MAX ||
	    sizeof(head) + head.wait_channel + head.args > most)
		return guest_error_set(err, -EPROTO,
				       "the guest's task list has a text of a wrong length");
	guest_text_copy(task->wait_channel, record + sizeof(head),
			head.wait_channel < room ? head.wait_channel : room - 1);
	builder->skip = sizeof(head) + head.wait_channel;
	builder->args = head.args;
	task->args = (uint32_t)builder->list->text_size;
	return 0;
}

/* Room for @size bytes and a NUL. Doubles, so that many short texts are not copied each time. */
static int ps_reserve(struct ps_builder *builder, size_t size, struct guest_error *err)
{
	size_t wanted = builder->list->text_size + size + 1, room = builder->text_room;
	char *grown;

	if (wanted <= room)
		return 0;
	room = 2 * room < wanted ? wanted : 2 * room;
	grown = realloc(builder->list->text, room);
	if (!grown)
		return guest_error_set(err, -ENOMEM, "out of memory for the command lines");
	builder->list->text = grown;
	builder->text_room = room;
	return 0;
}

/* What of @record belongs to the command line. */
static int ps_add_args(struct ps_builder *builder, const uint8_t *record, struct guest_error *err)
{
	struct guest_ps *list = builder->list;
	struct guest_task *task = &list->tasks[list->count - 1];
	size_t size = sizeof(struct sym_task) - builder->skip;
	int status;

	if (size > builder->args)
		size = builder->args;
	builder->args -= size;
	if (list->text_size + size + 1 > GUEST_PS_TEXT) {
		task->args_cut = true;
		builder->args = 0;
		size = 0;
	}
	status = ps_reserve(builder, size, err);
	if (status < 0)
		return status;
	memcpy(list->text + list->text_size, record + builder->skip, size);
	builder->skip = 0;
	list->text_size += size;
	task->args_length += (uint32_t)size;
	if (--builder->records == 0 && task->args_length)
		list->text[list->text_size++] = '\0';
	return 0;
}

static int ps_add(const void *record, void *opaque, struct guest_error *err)
{
	struct ps_builder *builder = opaque;
	struct sym_task raw;
	int status;

	if (builder->records) {
		if (builder->begins) {
			status = ps_begin_text(builder, record, err);
			if (status < 0)
				return status;
		}
		builder->begins = false;
		return ps_add_args(builder, record, err);
	}
	status = ps_add_task(builder, record, err);
	if (status || !builder->list->texts)
		return status;
	memcpy(&raw, record, sizeof(raw));
	builder->records = SYM_TASK_TEXT_RECORDS(raw.flags);
	builder->begins = true;
	return 0;
}

static int ps_fetch(const struct guest *guest, const struct guest_limit *limit, bool threads,
		    bool texts, struct guest_ps *list, struct guest_error *err)
{
	const struct guest_listing listing = {
		.name = "task list",
		.number = SYM_CALL_TASKS,
		.flags = (threads ? SYM_TASKS_THREADS : 0) | (texts ? SYM_TASKS_TEXTS : 0),
		.record = sizeof(struct sym_task),
		.max = texts ? 2 * GUEST_PS_MAX + GUEST_PS_TEXT / sizeof(struct sym_task)
			     : GUEST_PS_MAX,
	};
	struct ps_builder builder = {.list = list};
	int status;

	*list = (struct guest_ps){.texts = texts};
	status = guest_fetch(guest, limit, &listing, ps_add, &builder, &list->complete, err);
	if (status == 0 && list->complete && builder.records)
		status = guest_error_set(err, -EPROTO,
					 "the guest's task list ends inside of a text");
	if (status < 0)
		guest_ps_free(list);
	else if (builder.records) /* of the last task of a list that is too long */
		list->tasks[list->count - 1].args_length = 0;
	return status;
}

int guest_ps(const struct guest *guest, const struct guest_limit *limit, unsigned flags,
	     struct guest_ps *list, struct guest_error *err)
{
	bool threads = flags & GUEST_PS_THREADS, texts = flags & GUEST_PS_TEXTS;
	int status = ps_fetch(guest, limit, threads, texts, list, err);

	if (status == -EOPNOTSUPP && texts)
		status = ps_fetch(guest, limit, threads, false, list, err);
	return status;
}

void guest_ps_free(struct guest_ps *list)
{
	free(list->tasks);
	free(list->text);
	*list = (struct guest_ps){0};
}
