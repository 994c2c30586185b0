// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `ps`: the guest's tasks, without an agent. A thread of the guest's module
 * makes the listing when a call asks for it; further calls fetch it in pieces.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "control/control.h"
#include "machine/vm.h"
#include "services/guest_call.h"
#include "util/wait_limit.h"

#define TASKS_MAX     32768u /* as many as Linux has pids by default; their text fits an answer */
#define TASKS_FETCH   (SYM_MESSAGE_SIZE / sizeof(struct sym_task))
#define TASKS_WAIT_NS 2000000
#define TASKS_WAIT_MS 3000u /* until the guest's thread must have made the listing */

/* One call of the listing; the guest's answer, or -errno with words. */
static int64_t tasks_call(struct vm *vm, const struct wait_limit *limit, uint64_t cookie,
			  uint64_t offset, uint64_t flags, struct sym_task *tasks, size_t *length,
			  struct error *err)
{
	const struct timespec pause = {.tv_nsec = TASKS_WAIT_NS};
	struct sym_call_request request = {
		.number = SYM_CALL_TASKS,
		.args = {cookie, offset, flags},
		.message = cookie ? tasks : NULL,
		.message_size = cookie ? TASKS_FETCH * sizeof(*tasks) : 0,
	};
	struct sym_call_result result;
	uint64_t end = clock_now_ns() + TASKS_WAIT_MS * NS_PER_MS;
	int status;

	while (clock_now_ns() < end && !wait_limit_over(limit)) {
		status = guest_call(vm, 0, limit, &request, &result, err);
		if (status < 0)
			return status;
		if (result.value != -EAGAIN && result.value != -EBUSY) {
			*length = result.message_length;
			if (result.value < 0)
				return error_set(err, -EIO,
						 "the guest could not list its tasks (%lld)",
						 (long long)result.value);
			return result.value;
		}
		nanosleep(&pause, NULL);
	}
	return error_set(err, -ETIMEDOUT, "the guest did not make its task list in time");
}

static json_t *task_json(const struct sym_task *task)
{
	char state[2] = {task->state > ' ' && task->state < 127 ? (char)task->state : '?', '\0'};

	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
			 "pid", (json_int_t)task->pid, "tgid", (json_int_t)task->tgid, "ppid",
			 (json_int_t)task->ppid, "uid", (json_int_t)task->uid, "state", state,
			 "kernel_thread", !!(task->flags & SYM_TASK_KERNEL_THREAD), "cpu",
			 (json_int_t)task->cpu, "threads", (json_int_t)task->threads, "rss",
			 (json_int_t)task->rss, "utime_ns", (json_int_t)task->utime_ns, "stime_ns",
			 (json_int_t)task->stime_ns, "start_ns", (json_int_t)task->start_ns, "comm",
			 guest_text(task->comm, sizeof(task->comm)), "cgroup",
			 guest_text(task->cgroup, sizeof(task->cgroup)));
}

/* Fetches the listing @cookie piece by piece. *@complete: all of it. -errno with words. */
static int fetch_tasks(struct vm *vm, const struct wait_limit *limit, uint64_t cookie, json_t *list,
		       bool *complete, struct error *err)
{
	struct sym_task tasks[TASKS_FETCH];
	uint64_t offset = 0;
	size_t length = 0;

	*complete = false;
	while (json_array_size(list) < TASKS_MAX) {
		int64_t got = tasks_call(vm, limit, cookie, offset, 0, tasks, &length, err);

		if (got < 0)
			return (int)got;
		if (got == 0 || length == 0 || length % sizeof(tasks[0]) != 0) {
			*complete = true;
			return 0;
		}
		for (size_t i = 0; i < length / sizeof(tasks[0]); i++)
			json_array_append_new(list, task_json(&tasks[i]));
		offset += length;
	}
	return 0;
}

static int handle_ps(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		     struct error *err)
{
	static const char *const known[] = {"threads", NULL};
	bool threads = false, complete;
	size_t length = 0;
	json_t *list;
	int64_t cookie;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_bool(arguments, "threads", &threads, err);
	if (status < 0)
		return status;
	cookie = tasks_call(vm, limit, 0, 0, threads ? SYM_TASKS_THREADS : 0, NULL, &length, err);
	if (cookie <= 0)
		return cookie < 0 ? (int)cookie
				  : error_set(err, -EPROTO, "the guest gave no task list");
	list = json_array();
	status = fetch_tasks(vm, limit, (uint64_t)cookie, list, &complete, err);
	if (status < 0) {
		json_decref(list);
		return status;
	}
	*result = json_pack("{s:o, s:b}", "tasks", list, "complete", complete);
	return 0;
}

static const struct control_command ps_command = {
	.name = "ps",
	.help = "the guest's processes; threads (bool): its threads",
	.is_query = true,
	.handle_until = handle_ps,
};
CONTROL_COMMAND(ps_command);
