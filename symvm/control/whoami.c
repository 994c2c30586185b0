// SPDX-License-Identifier: BSD-2-Clause
/* The call `whoami`: the task that runs on a vCPU. */
#include "libguestview/whoami.h"

#include "control/control.h"
#include "control/guest_json.h"
#include "control/named_call.h"

json_t *guest_whoami_json(const struct guest_whoami *task)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:b, s:b, s:b, s:I, s:I, s:I}", "pid",
			 (json_int_t)task->pid, "tgid", (json_int_t)task->tgid, "ppid",
			 (json_int_t)task->ppid, "uid", (json_int_t)task->uid, "cpu",
			 (json_int_t)task->cpu, "comm", control_text(task->comm), "cgroup",
			 control_text(task->cgroup), "kernel_thread", task->kernel_thread, "idle",
			 task->idle, "in_kernel", task->in_kernel, "user_rip",
			 (json_int_t)task->user_rip, "user_rsp", (json_int_t)task->user_rsp,
			 "start_ns", (json_int_t)task->start_ns);
}

static int make_whoami(const struct guest *guest, const struct call_arguments *arguments,
		       json_t **result, struct guest_error *err)
{
	struct guest_whoami task;
	int status = guest_whoami(guest, arguments->vcpu, &arguments->limit, &task, err);

	if (status == 0)
		*result = guest_whoami_json(&task);
	return status;
}

static const struct named_call whoami_call = {.name = "whoami", .make = make_whoami};
NAMED_CALL(whoami_call);
