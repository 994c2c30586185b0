// SPDX-License-Identifier: BSD-2-Clause
#include "task_stack.h"

#include <errno.h>
#include <string.h>

int guest_task_stack_decode(const void *message, size_t length, struct guest_task_stack *task)
{
	struct sym_task_stack raw;

	if (length < sizeof(raw) || length > SYM_MESSAGE_SIZE)
		return -EPROTO;
	memcpy(&raw, message, sizeof(raw));
	task->pid = raw.pid;
	task->tgid = raw.tgid;
	task->cpu = raw.cpu;
	task->state = guest_task_state(raw.state);
	task->running = raw.flags & SYM_TASK_STACK_RUNNING;
	task->user = raw.flags & SYM_TASK_STACK_USER;
	task->start_ns = raw.start_ns;
	_Static_assert(sizeof(task->comm) == sizeof(raw.comm) + 1, "comm and its NUL");
	_Static_assert(sizeof(task->wait_channel) == sizeof(raw.wait_channel) + 1, "and its NUL");
	guest_text_copy(task->comm, raw.comm, sizeof(raw.comm));
	guest_text_copy(task->wait_channel, raw.wait_channel, sizeof(raw.wait_channel));
	memcpy(task->stack.text, (const uint8_t *)message + sizeof(raw), length - sizeof(raw));
	return guest_stack_decode(0, length - sizeof(raw), &task->stack);
}

/* Asks @vcpu, or with @any the first from it on that answers. */
static int task_stack_ask(const struct guest *guest, const struct guest_limit *limit,
			  unsigned *vcpu, bool any, uint32_t pid, struct guest_task_stack *task,
			  struct guest_error *err)
{
	uint8_t message[SYM_MESSAGE_SIZE];
	const struct sym_call_request request = {
		.number = SYM_CALL_TASK_STACK,
		.args = {pid},
		.message = message,
		.message_size = sizeof(message),
	};
	struct sym_call_result result;
	int status = any ? guest_call_any(guest, vcpu, limit, &request, &result, err)
			 : guest_call(guest, *vcpu, limit, &request, &result, err);

	if (status < 0)
		return status;
	if (result.value == -ENOSYS)
		return guest_error_set(err, -EOPNOTSUPP,
				       "the guest's module is too old to give a task's stack");
	if (result.value == -ESRCH)
		return guest_error_set(err, -ESRCH, "the guest has no task %u", pid);
	if (result.value < 0)
		return guest_error_set(err, -EIO, "the guest could not give the stack of %u (%lld)",
				       pid, (long long)result.value);
	status = guest_task_stack_decode(message, result.message_length, task);
	if (status < 0)
		return guest_error_set(err, status, "the guest's answer about task %u is malformed",
				       pid);
	return 0;
}

int guest_task_stack(const struct guest *guest, const struct guest_limit *limit, uint32_t pid,
		     struct guest_task_stack *task, struct guest_error *err)
{
	struct guest_task_stack there;
	struct guest_error ignored;
	unsigned vcpu = 0, cpu;
	int status = task_stack_ask(guest, limit, &vcpu, true, pid, task, err);

	if (status < 0 || !task->running || task->stack.count || task->user)
		return status;
	/* Linux numbers its CPUs as the vCPUs are numbered. If not, the answer is the same again.
	 */
	cpu = task->cpu;
	if (cpu == vcpu || cpu >= guest->ops->vcpu_count(guest->opaque))
		return 0;
	if (task_stack_ask(guest, limit, &cpu, false, pid, &there, &ignored) == 0)
		*task = there;
	return 0;
}
