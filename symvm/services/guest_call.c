// SPDX-License-Identifier: BSD-2-Clause
#include "services/guest_call.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "control/control.h"
#include "machine/vm.h"
#include "util/wait_limit.h"

#define RETRY_NS 500000 /* between tries while the guest is at a point that allows no call */

struct pending_call {
	const struct sym_call_request *request;
	struct sym_call_result *result;
	int status;
};

static void call_on_vcpu(struct vcpu *vcpu, void *opaque)
{
	struct pending_call *pending = opaque;

	pending->status = sym_call(vcpu->symbiotic, pending->request, pending->result);
}

static const char *guest_call_strerror(int status)
{
	switch (status) {
	case -ENOTCONN:
		return "the guest has not registered this vCPU (is symbiotic.ko loaded?)";
	case -ENOTRECOVERABLE:
		return "calls on this vCPU are off since one was abandoned";
	case -EAGAIN:
	case -EBUSY:
		return "the guest was at no point that allows a call";
	case -EOPNOTSUPP:
		return "the guest uses CET shadow stacks or FRED, which calls do not support yet";
	case -ETIMEDOUT:
		return "the guest did not answer in time";
	case -EPROTO:
		return "the guest's answer has a wrong length";
	default:
		return strerror(-status);
	}
}

static unsigned try_ms(const struct wait_limit *limit, uint64_t end)
{
	uint64_t left = wait_limit_left_ms(limit), now = clock_now_ns();
	uint64_t own = end > now ? (end - now) / NS_PER_MS + 1 : 0;

	return (unsigned)(left < own ? left : own);
}

int guest_call(struct vm *vm, unsigned id, const struct wait_limit *limit,
	       const struct sym_call_request *request, struct sym_call_result *result,
	       struct error *err)
{
	struct pending_call pending = {.request = request, .result = result};
	const struct timespec retry = {.tv_nsec = RETRY_NS};
	uint64_t end = clock_now_ns() + GUEST_CALL_TIMEOUT_MS * NS_PER_MS;
	int status;

	if (!vm->symbiotic)
		return error_set(err, -EOPNOTSUPP,
				 "this VM runs without the symbiotic interface (--symbiotic off)");
	if (id >= vm->vcpu_count)
		return error_set(err, -ENXIO, "vCPU %u: this VM has vCPUs 0 to %u", id,
				 vm->vcpu_count - 1);
	for (;;) {
		unsigned ms = try_ms(limit, end);

		/* Each time: the VM may be paused, reset or ended between two tries. */
		status = vm_check_runs(vm, err);
		if (status < 0)
			return status;
		if (ms == 0) {
			status = -ETIMEDOUT;
			break;
		}
		pending.status = -EAGAIN;
		status = vcpu_run_on(vm->vcpus[id], call_on_vcpu, &pending, ms);
		if (status == 0)
			status = pending.status;
		if (status != -EAGAIN && status != -EBUSY)
			break;
		nanosleep(&retry, NULL);
	}
	if (status < 0)
		return error_set(err, status, "vCPU %u: %s", id, guest_call_strerror(status));
	return 0;
}

int guest_call_message(struct vm *vm, unsigned id, const struct wait_limit *limit, uint64_t number,
		       void *message, size_t size, struct error *err)
{
	struct sym_call_request request = {
		.number = number,
		.message = message,
		.message_size = size,
	};
	struct sym_call_result result;
	int status = guest_call(vm, id, limit, &request, &result, err);

	if (status < 0)
		return status;
	if (result.value < 0)
		return error_set_errno(err, result.value < -4095 ? -EPROTO : (int)result.value,
				       "vCPU %u: the guest refused the call", id);
	if (result.message_length != size)
		return error_set(err, -EPROTO, "vCPU %u: the guest answered %zu bytes, not %zu", id,
				 result.message_length, size);
	return 0;
}

json_t *guest_text(const void *text, size_t size)
{
	char copy[256];
	size_t length = strnlen(text, size < sizeof(copy) ? size : sizeof(copy) - 1);

	memcpy(copy, text, length);
	copy[length] = '\0';
	return control_text(copy);
}

struct sym_call_request guest_stack_request(char *text)
{
	return (struct sym_call_request){
		.number = SYM_CALL_STACK,
		.args = {SYM_STACK_SYMBOLS},
		.message = text,
		.message_size = SYM_MESSAGE_SIZE,
	};
}

json_t *guest_stack_json(char *text, size_t length)
{
	json_t *frames = json_array();
	char *line, *rest = text;

	text[length < SYM_MESSAGE_SIZE ? length : SYM_MESSAGE_SIZE] = '\0';
	while ((line = strsep(&rest, "\n")))
		if (*line)
			json_array_append_new(frames, control_text(line));
	return frames;
}

json_t *guest_whoami_json(const struct sym_whoami *whoami)
{
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:b, s:b, s:b, s:I, s:I, s:I}", "pid",
		(json_int_t)whoami->pid, "tgid", (json_int_t)whoami->tgid, "ppid",
		(json_int_t)whoami->ppid, "uid", (json_int_t)whoami->uid, "cpu",
		(json_int_t)whoami->cpu, "comm", guest_text(whoami->comm, sizeof(whoami->comm)),
		"cgroup", guest_text(whoami->cgroup, sizeof(whoami->cgroup)), "kernel_thread",
		!!(whoami->flags & SYM_WHOAMI_KERNEL_THREAD), "idle",
		!!(whoami->flags & SYM_WHOAMI_IDLE), "in_kernel",
		!!(whoami->flags & SYM_WHOAMI_IN_KERNEL), "user_rip", (json_int_t)whoami->user_rip,
		"user_rsp", (json_int_t)whoami->user_rsp, "start_ns", (json_int_t)whoami->start_ns);
}
