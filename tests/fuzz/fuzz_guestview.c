// SPDX-License-Identifier: BSD-2-Clause
/*
 * libguestview's decoders against a guest whose answers are the data: any value, any claimed
 * length, any bytes. The guest ends with the data. The decoded records must keep the promises
 * of the headers.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "libguestview/dmesg.h"
#include "libguestview/meminfo.h"
#include "libguestview/memory_use.h"
#include "libguestview/ps.h"
#include "libguestview/stack.h"
#include "libguestview/task_stack.h"
#include "libguestview/who.h"
#include "libguestview/whoami.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
	const uint8_t *data;
	size_t size;
};

/* Up to @length bytes of the data; the rest is zero. */
static void take(struct stream *stream, void *out, size_t length)
{
	size_t got = length < stream->size ? length : stream->size;

	memset(out, 0, length);
	memcpy(out, stream->data, got);
	stream->data += got;
	stream->size -= got;
}

/* Stands in for libsymcall: an answer begins with its kind. */
int sym_call(struct sym_vcpu *engine, const struct sym_call_request *request,
	     struct sym_call_result *result)
{
	struct stream *stream = (struct stream *)engine;
	uint16_t length;
	uint8_t kind;

	take(stream, &kind, sizeof(kind));
	if (kind & 1) { /* another errno than those that are tried again, which take time */
		take(stream, &kind, sizeof(kind));
		return kind == 0 || kind == EAGAIN || kind == EBUSY ? -EPROTO : -(int)kind;
	}
	take(stream, &length, sizeof(length));
	if (length > request->message_size && !(kind & 2))
		length = (uint16_t)request->message_size;
	result->message_length = length;
	result->value = length;
	if (kind & 4)
		take(stream, &result->value, sizeof(result->value));
	if (result->value == -EAGAIN || result->value == -EBUSY)
		result->value = -EPERM;
	if (request->message)
		take(stream, request->message,
		     length < request->message_size ? length : request->message_size);
	return 0;
}

static unsigned vcpu_count(void *opaque)
{
	return 2;
}

static struct sym_vcpu *engine_of(void *opaque, unsigned vcpu)
{
	return opaque;
}

static int run_on(void *opaque, unsigned vcpu, void (*function)(void *argument), void *argument,
		  unsigned timeout_ms)
{
	function(argument);
	return 0;
}

static int check(void *opaque, struct guest_error *err)
{
	const struct stream *stream = opaque;

	return stream->size ? 0 : guest_error_set(err, -ESHUTDOWN, "no more data");
}

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void check_text(const char *text, size_t size)
{
	must(memchr(text, '\0', size) != NULL);
}

static void check_stack(const struct guest_stack *stack)
{
	must(stack->count <= GUEST_STACK_FRAMES);
	for (unsigned i = 0; i < stack->count; i++) {
		must(stack->start[i] < SYM_MESSAGE_SIZE);
		check_text(guest_stack_frame(stack, i), sizeof(stack->text) - stack->start[i]);
		must(*guest_stack_frame(stack, i));
	}
}

static void check_task(const struct guest_whoami *task)
{
	check_text(task->comm, sizeof(task->comm));
	check_text(task->cgroup, sizeof(task->cgroup));
}

static void ask_ps(const struct guest *guest, const struct guest_limit *limit, unsigned flags,
		   struct guest_error *err)
{
	struct guest_ps list;

	if (guest_ps(guest, limit, flags, &list, err) < 0) {
		must(!list.tasks && !list.text);
		return;
	}
	must(list.text_size <= GUEST_PS_TEXT);
	must(list.count <= GUEST_PS_MAX);
	for (size_t i = 0; i < list.count; i++) {
		check_text(list.tasks[i].comm, sizeof(list.tasks[i].comm));
		check_text(list.tasks[i].cgroup, sizeof(list.tasks[i].cgroup));
		must(list.tasks[i].state > ' ' && list.tasks[i].state < 0x7f);
		check_text(list.tasks[i].wait_channel, sizeof(list.tasks[i].wait_channel));
		if (!list.tasks[i].args_length)
			continue;
		must(list.texts && list.tasks[i].args_length < list.text_size);
		must(list.tasks[i].args < list.text_size - list.tasks[i].args_length);
		must(!guest_task_args(&list, &list.tasks[i])[list.tasks[i].args_length]);
	}
	guest_ps_free(&list);
}

static void ask_dmesg(const struct guest *guest, const struct guest_limit *limit,
		      struct guest_error *err)
{
	struct guest_dmesg log;

	if (guest_dmesg(guest, limit, 0, &log, err) < 0) {
		must(!log.lines && !log.text);
		return;
	}
	must(log.count <= GUEST_DMESG_LINES && log.size <= GUEST_DMESG_TEXT);
	for (size_t i = 0; i < log.count; i++) {
		must(log.lines[i].start < log.size && log.lines[i].level < 8);
		check_text(guest_dmesg_text(&log, i), log.size - log.lines[i].start);
	}
	guest_dmesg_free(&log);
}

static void ask_task_stack(const struct guest *guest, const struct guest_limit *limit,
			   struct guest_error *err)
{
	struct guest_task_stack task;

	if (guest_task_stack(guest, limit, 1, &task, err) < 0)
		return;
	check_text(task.comm, sizeof(task.comm));
	check_text(task.wait_channel, sizeof(task.wait_channel));
	must(task.state > ' ' && task.state < 0x7f);
	check_stack(&task.stack);
}

static void ask_memory(const struct guest *guest, const struct guest_limit *limit,
		       struct guest_error *err)
{
	struct guest_memory_use memory;
	struct guest_cgroups list;

	guest_memory_use(guest, limit, &memory, err);
	if (guest_cgroups(guest, limit, GUEST_CGROUPS_MAX, &list, err) < 0)
		return;
	must(list.count <= GUEST_CGROUPS_MAX);
	for (size_t i = 0; i < list.count; i++)
		check_text(list.cgroups[i].path, sizeof(list.cgroups[i].path));
}

static void ask_who(const struct guest *guest, struct stream *stream)
{
	struct guest_who who;
	struct kvm_run run = {0};
	uint8_t wants;

	take(stream, &wants, sizeof(wants));
	run.exit_reason = wants & 1 ? KVM_EXIT_IO : KVM_EXIT_MMIO;
	take(stream, &run.mmio, sizeof(run.mmio));
	if (guest_who_ask(guest, 0, &run, wants & 4, &who) < 0)
		return;
	check_task(&who.task);
	must(!who.has_stack || wants & 4);
	check_stack(&who.stack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct guest_ops ops = {
		.vcpu_count = vcpu_count,
		.engine = engine_of,
		.run_on = run_on,
		.check = check,
	};
	const struct guest_limit limit = {.end_ns = UINT64_MAX};
	struct stream stream = {data, size};
	const struct guest guest = {.ops = &ops, .opaque = &stream};
	struct guest_error err = {""};
	struct guest_whoami task;
	struct guest_stack stack;
	struct guest_meminfo memory;
	uint8_t question;

	take(&stream, &question, sizeof(question));
	switch (question % 9) {
	case 0:
		ask_ps(&guest, &limit, 0, &err);
		break;
	case 1:
		ask_who(&guest, &stream);
		break;
	case 2:
		if (guest_whoami(&guest, 0, &limit, &task, &err) == 0)
			check_task(&task);
		break;
	case 3:
		if (guest_stack(&guest, 0, &limit, &stack, &err) == 0)
			check_stack(&stack);
		break;
	case 4:
		ask_dmesg(&guest, &limit, &err);
		break;
	case 7:
		ask_memory(&guest, &limit, &err);
		break;
	case 6:
		ask_ps(&guest, &limit, GUEST_PS_TEXTS | GUEST_PS_THREADS, &err);
		break;
	case 5:
		ask_task_stack(&guest, &limit, &err);
		break;
	default:
		guest_meminfo(&guest, 0, &limit, &memory, &err);
		break;
	}
	check_text(err.text, sizeof(err.text));
	return 0;
}
