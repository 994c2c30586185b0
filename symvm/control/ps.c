// SPDX-License-Identifier: BSD-2-Clause
/* The control command `ps`: lists the guest's tasks without an agent. */
#include <stdlib.h>
#include <string.h>

#include "control/control.h"
#include "libguestview/ps.h"
#include "services/guest.h"

static json_t *task_json(const struct guest_task *task)
{
	const char state[2] = {task->state, '\0'};

	return json_pack("{s:I, s:I, s:I, s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
			 "pid", (json_int_t)task->pid, "tgid", (json_int_t)task->tgid, "ppid",
			 (json_int_t)task->ppid, "uid", (json_int_t)task->uid, "state", state,
			 "kernel_thread", task->kernel_thread, "cpu", (json_int_t)task->cpu,
			 "threads", (json_int_t)task->threads, "rss", (json_int_t)task->rss,
			 "utime_ns", (json_int_t)task->utime_ns, "stime_ns",
			 (json_int_t)task->stime_ns, "start_ns", (json_int_t)task->start_ns, "comm",
			 control_text(task->comm), "cgroup", control_text(task->cgroup));
}

/* The arguments with a blank between two, as ps shows them. */
static json_t *args_json(const struct guest_ps *list, const struct guest_task *task)
{
	char *text = task->args_length ? malloc(task->args_length + 1) : NULL;
	json_t *args;

	if (!text)
		return json_null();
	memcpy(text, guest_task_args(list, task), task->args_length);
	text[task->args_length] = '\0';
	for (uint32_t i = 0; i < task->args_length; i++)
		text[i] = text[i] ? text[i] : ' ';
	args = control_text(text);
	free(text);
	return args;
}

static json_t *texts_json(const struct guest_ps *list, const struct guest_task *task)
{
	return json_pack("{s:o, s:o, s:b}", "wait_channel",
			 *task->wait_channel ? control_text(task->wait_channel) : json_null(),
			 "args", args_json(list, task), "args_cut", task->args_cut);
}

static json_t *list_json(const struct guest_ps *list)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < list->count; i++) {
		json_t *task = task_json(&list->tasks[i]);

		if (list->texts)
			json_object_update_new(task, texts_json(list, &list->tasks[i]));
		json_array_append_new(tasks, task);
	}
	return json_pack("{s:o, s:b}", "tasks", tasks, "complete", list->complete);
}

static int handle_ps(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		     struct error *err)
{
	static const char *const known[] = {"threads", "texts", NULL};
	const struct guest_limit until = guest_limit_of(limit);
	const struct guest guest = guest_of_vm(vm);
	struct guest_error words;
	struct guest_ps list;
	bool threads = false, texts = true;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_bool(arguments, "threads", &threads, err);
	if (status == 0)
		status = control_argument_bool(arguments, "texts", &texts, err);
	if (status < 0)
		return status;
	status = guest_ps(&guest, &until,
			  (threads ? GUEST_PS_THREADS : 0) | (texts ? GUEST_PS_TEXTS : 0), &list,
			  &words);
	if (status < 0)
		return guest_error_pass(err, status, &words);
	*result = list_json(&list);
	guest_ps_free(&list);
	return 0;
}

static const struct control_command ps_command = {
	.name = "ps",
	.help = "the guest's processes; threads (bool): its threads; texts (bool): with wait "
		"channels and command lines (default: true)",
	.is_query = true,
	.handle_until = handle_ps,
};
CONTROL_COMMAND(ps_command);
