// SPDX-License-Identifier: BSD-2-Clause
/* The control command `stack`, of a task or a vCPU, and the call `stack`. */
#include <errno.h>

#include "control/control.h"
#include "control/guest_json.h"
#include "control/named_call.h"
#include "libguestview/stack.h"
#include "libguestview/task_stack.h"
#include "machine/vm.h"
#include "services/guest.h"

json_t *guest_stack_json(const struct guest_stack *stack)
{
	json_t *frames = json_array();

	for (unsigned i = 0; i < stack->count; i++)
		json_array_append_new(frames, control_text(guest_stack_frame(stack, i)));
	return frames;
}

static int make_stack(const struct guest *guest, const struct call_arguments *arguments,
		      json_t **result, struct guest_error *err)
{
	struct guest_stack stack;
	int status = guest_stack(guest, arguments->vcpu, &arguments->limit, &stack, err);

	if (status == 0)
		*result = json_pack("{s:o}", "frames", guest_stack_json(&stack));
	return status;
}

static const struct named_call stack_call = {.name = "stack", .make = make_stack};
NAMED_CALL(stack_call);

static json_t *task_stack_json(const struct guest_task_stack *task)
{
	const char state[2] = {task->state, '\0'};

	return json_pack("{s:I, s:I, s:o, s:s, s:I, s:b, s:b, s:I, s:o, s:o}", "pid",
			 (json_int_t)task->pid, "tgid", (json_int_t)task->tgid, "comm",
			 control_text(task->comm), "state", state, "cpu", (json_int_t)task->cpu,
			 "running", task->running, "in_user", task->user, "start_ns",
			 (json_int_t)task->start_ns, "wait_channel",
			 *task->wait_channel ? control_text(task->wait_channel) : json_null(),
			 "frames", guest_stack_json(&task->stack));
}

static int ask_task(const struct guest *guest, const struct guest_limit *limit, uint32_t pid,
		    json_t **result, struct guest_error *err)
{
	struct guest_task_stack task;
	int status = guest_task_stack(guest, limit, pid, &task, err);

	if (status == 0)
		*result = task_stack_json(&task);
	return status;
}

static int ask_vcpu(const struct guest *guest, const struct guest_limit *limit, unsigned vcpu,
		    json_t **result, struct guest_error *err)
{
	struct guest_stack stack;
	int status = guest_stack(guest, vcpu, limit, &stack, err);

	if (status == 0)
		*result = json_pack("{s:I, s:o}", "vcpu", (json_int_t)vcpu, "frames",
				    guest_stack_json(&stack));
	return status;
}

static int handle_stack(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
			struct error *err)
{
	static const char *const known[] = {"pid", "vcpu", NULL};
	const struct guest_limit until = guest_limit_of(limit);
	const struct guest guest = guest_of_vm(vm);
	struct guest_error words;
	json_int_t pid = 0, vcpu = -1;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "pid", 1, INT32_MAX, &pid, err);
	if (status == 0)
		status = control_argument_integer(arguments, "vcpu", 0, VM_VCPUS_MAX - 1, &vcpu,
						  err);
	if (status < 0)
		return status;
	if (pid && vcpu >= 0)
		return error_set(err, -EINVAL, "stack: expected either a PID or a vCPU");
	status = pid ? ask_task(&guest, &until, (uint32_t)pid, result, &words)
		     : ask_vcpu(&guest, &until, vcpu < 0 ? 0 : (unsigned)vcpu, result, &words);
	return status < 0 ? guest_error_pass(err, status, &words) : 0;
}

static const struct control_command stack_command = {
	.name = "stack",
	.help = "a kernel stack: pid (integer): of this task, or vcpu (default: 0)",
	.is_query = true,
	.handle_until = handle_stack,
};
CONTROL_COMMAND(stack_command);
