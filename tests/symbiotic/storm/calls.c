// SPDX-License-Identifier: BSD-2-Clause
/* Makes random calls, and checks each answer as far as possible. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storm.h"

/* xorshift64: the same sequence on every run. */
uint64_t storm_random(struct storm_vcpu *vcpu)
{
	vcpu->random ^= vcpu->random << 13;
	vcpu->random ^= vcpu->random >> 7;
	vcpu->random ^= vcpu->random << 17;
	return vcpu->random;
}

static void complain(struct storm_vcpu *vcpu, const char *what, int64_t value)
{
	if (vcpu->errors_shown++ < 10)
		fprintf(stderr, "storm: vCPU %u: %s (%lld)\n", vcpu->id, what, (long long)value);
}

static bool text_ok(const uint8_t *text, size_t size, bool may_be_empty)
{
	return memchr(text, 0, size) && (may_be_empty || text[0]);
}

static bool whoami_ok(struct storm_vcpu *vcpu, const struct sym_whoami *who)
{
	bool idle = who->flags & SYM_WHOAMI_IDLE;
	bool kernel = who->flags & SYM_WHOAMI_KERNEL_THREAD;

	if (who->cpu != vcpu->id || idle != (who->pid == 0) || (!idle && !who->tgid))
		return false;
	if (!text_ok(who->comm, sizeof(who->comm), false) ||
	    !text_ok(who->cgroup, sizeof(who->cgroup), false) || who->cgroup[0] != '/')
		return false;
	/* If user mode was interrupted, user registers are exact, so not in the kernel's half. */
	if (!(who->flags & SYM_WHOAMI_IN_KERNEL) && (kernel || who->user_rip >> 63))
		return false;
	vcpu->counts.points[idle ? 2 : who->flags & SYM_WHOAMI_IN_KERNEL ? 1 : 0]++;
	return true;
}

static bool meminfo_ok(struct storm_vcpu *vcpu, const struct sym_meminfo *info)
{
	return info->mem_total && info->mem_total <= vcpu->storm->memory_size &&
	       info->mem_free <= info->mem_total && info->mem_available <= info->mem_total &&
	       info->swap_free <= info->swap_total;
}

static bool memory_ok(struct storm_vcpu *vcpu, const struct sym_memory *memory)
{
	const uint64_t total = memory->mem_total;

	for (unsigned i = 0; i < 6; i++)
		if (memory->pressure[i] > 10000)
			return false;
	return total && total <= vcpu->storm->memory_size && memory->anon <= total &&
	       memory->file <= total && memory->slab_reclaimable <= total &&
	       memory->mem_available <= total && !memory->reserved;
}

/* Each address in the kernel's half, the innermost included. */
static bool stack_ok(const uint64_t *addresses, size_t length)
{
	size_t i;

	if (length % sizeof(*addresses))
		return false;
	for (i = 0; i < length / sizeof(*addresses); i++)
		if (!(addresses[i] >> 63))
			return false;
	return true;
}

/* A record of the texts of a task. */
static bool task_text_ok(struct storm_vcpu *vcpu, const void *record)
{
	size_t size = vcpu->text_records * sizeof(struct sym_task);
	const struct sym_task_text *head = record;
	bool first = vcpu->text_first;

	vcpu->text_records--;
	vcpu->text_first = false;
	if (!first)
		return true;
	return head->wait_channel <= SYM_TASK_CHANNEL_MAX &&
	       sizeof(*head) + head->wait_channel + head->args <= size &&
	       sizeof(*head) + head->wait_channel + head->args > size - sizeof(struct sym_task);
}

static bool tasks_ok(struct storm_vcpu *vcpu, const struct sym_task *tasks, size_t length)
{
	size_t i;

	if (length % sizeof(*tasks))
		return false;
	for (i = 0; i < length / sizeof(*tasks); i++) {
		if (vcpu->text_records) {
			if (!task_text_ok(vcpu, &tasks[i]))
				return false;
			continue;
		}
		vcpu->text_records = SYM_TASK_TEXT_RECORDS(tasks[i].flags);
		vcpu->text_first = true;
		if (!tasks[i].pid || !tasks[i].tgid || !tasks[i].threads ||
		    !text_ok(tasks[i].comm, sizeof(tasks[i].comm), true) ||
		    !memchr("RSDTtXZPI", tasks[i].state, 9))
			return false;
		vcpu->tasks_seen++;
		vcpu->task_seen = tasks[i].pid;
	}
	vcpu->tasks_offset += length;
	return true;
}

/* Another vCPU's listing may replace ours: -ESTALE is expected, and so is waiting. */
static void tasks_request(struct storm_vcpu *vcpu, struct sym_call_request *request)
{
	request->number = SYM_CALL_TASKS;
	request->args[0] = vcpu->tasks_cookie;
	request->args[1] = vcpu->tasks_cookie ? vcpu->tasks_offset : 0;
	request->args[2] = vcpu->tasks_cookie ? 0
					      : storm_random(vcpu) >> 8 &
							(SYM_TASKS_THREADS | SYM_TASKS_TEXTS);
	if (!vcpu->tasks_cookie)
		request->message = NULL;
}

static bool tasks_answer(struct storm_vcpu *vcpu, int64_t value, const void *message)
{
	if (value == -EBUSY || value == -EAGAIN)
		return true;
	if (value == -ESTALE) {
		vcpu->tasks_cookie = 0;
		return true;
	}
	if (!vcpu->tasks_cookie) {
		vcpu->tasks_cookie = value > 0 ? value : 0;
		vcpu->tasks_offset = 0;
		vcpu->text_records = 0;
		return value > 0;
	}
	if (!value) {
		vcpu->listings++;
		vcpu->tasks_cookie = 0;
		return vcpu->tasks_offset > 0 && !vcpu->text_records;
	}
	return value > 0 && tasks_ok(vcpu, message, value);
}

/* Whole lines with a priority each, or none; and onwards. */
static bool dmesg_ok(struct storm_vcpu *vcpu, uint64_t from, const void *message, size_t length)
{
	const struct sym_dmesg *head = message;
	const char *text = (const char *)(head + 1);

	if (length < sizeof(*head))
		return false;
	length -= sizeof(*head);
	vcpu->dmesg_from = length ? head->next : 0;
	return length ? head->next > from && text[0] == '<' && text[length - 1] == '\n'
		      : head->next == from;
}

/* A task may be gone, and one that runs elsewhere has no frames. */
static bool task_stack_ok(const struct sym_call_request *request, int64_t value)
{
	const struct sym_task_stack *head = request->message;
	const char *text = (const char *)(head + 1);
	size_t length = value - sizeof(*head);

	if (value == -ESRCH)
		return true;
	if (value < (int64_t)sizeof(*head) || head->pid != request->args[0] || !head->tgid ||
	    !memchr("RSDTtXZPI", head->state, 9) || head->reserved)
		return false;
	if (!text_ok(head->comm, sizeof(head->comm), true) ||
	    !text_ok(head->wait_channel, sizeof(head->wait_channel), true))
		return false;
	if (length)
		return text[length - 1] == '\n' && memchr(text, '+', length);
	return head->flags & SYM_TASK_STACK_RUNNING || memchr("RXZ", head->state, 3);
}

static bool answer_ok(struct storm_vcpu *vcpu, const struct sym_call_request *request,
		      const struct sym_call_result *result)
{
	const void *message = request->message;

	switch (request->number) {
	case SYM_CALL_PING:
		return (uint64_t)result->value == request->args[0] + request->args[1];
	case SYM_CALL_WHOAMI:
		return result->value == sizeof(struct sym_whoami) && whoami_ok(vcpu, message);
	case SYM_CALL_MEMINFO:
		return result->value == sizeof(struct sym_meminfo) && meminfo_ok(vcpu, message);
	case SYM_CALL_MEMORY:
		return result->value == sizeof(struct sym_memory) && memory_ok(vcpu, message);
	case SYM_CALL_STACK:
		if (result->value < 0)
			return false;
		return request->args[0] ? true : stack_ok(message, result->value);
	case SYM_CALL_TASKS:
		return tasks_answer(vcpu, result->value, message);
	case SYM_CALL_DMESG:
		return result->value > 0 &&
		       dmesg_ok(vcpu, request->args[0], message, result->value);
	case SYM_CALL_TASK_STACK:
		return task_stack_ok(request, result->value);
	case PROBE_ATOMIC: /* the module may not be loaded */
		vcpu->counts.slow += result->value == 1 && request->args[0];
		return result->value == -ENOSYS || result->value == 1;
	default:
		return result->value == -ENOSYS;
	}
}

static void request_choose(struct storm_vcpu *vcpu, struct sym_call_request *request)
{
	switch (storm_random(vcpu) >> 20 & 15) {
	case 0: /* of the first tasks, all of which the kernel keeps, and of any */
		request->number = SYM_CALL_TASK_STACK;
		request->args[0] = 1 + (storm_random(vcpu) >> 8 & 63);
		if (vcpu->task_seen && storm_random(vcpu) & 0x100)
			request->args[0] = vcpu->task_seen;
		break;
	case 1 ... 4:
		request->number = SYM_CALL_PING;
		request->args[0] = storm_random(vcpu) >> 8;
		request->args[1] = storm_random(vcpu) >> 8;
		request->message = NULL;
		break;
	case 5 ... 8:
		request->number = SYM_CALL_WHOAMI;
		break;
	case 9:
		request->number = storm_random(vcpu) & 0x100 ? SYM_CALL_MEMINFO : SYM_CALL_MEMORY;
		break;
	case 10:
		request->number = SYM_CALL_STACK;
		break;
	case 11: /* from the oldest message to the newest, then again */
		request->number = SYM_CALL_DMESG;
		request->args[0] = vcpu->dmesg_from;
		break;
	case 12:
		request->number = SYM_CALL_STACK;
		request->args[0] = SYM_STACK_SYMBOLS;
		break;
	case 13:
		request->number = storm_random(vcpu) & 0x100 ? PROBE_ATOMIC
							     : SYM_CALL_ATOMIC_FIRST + 0x90 +
								       (storm_random(vcpu) & 0x7ff);
		request->args[0] = vcpu->storm->slow_ms;
		request->message = NULL;
		break;
	default:
		tasks_request(vcpu, request);
	}
}

void storm_call(struct storm_vcpu *vcpu, bool in_exit)
{
	uint64_t message[SYM_MESSAGE_SIZE / 8];
	struct sym_call_request request = {.message = message, .message_size = sizeof(message)};
	struct sym_call_result result = {0};
	struct storm_counts *counts = &vcpu->counts;
	int error;

	request_choose(vcpu, &request);
	counts->tried++;
	error = sym_call(vcpu->sym, &request, &result);
	if (error == -EAGAIN) {
		counts->not_here++;
	} else if (error == -ENOTCONN) {
		counts->not_ready++;
		vcpu->tasks_cookie = 0;
	} else if (error) {
		counts->failed++;
		complain(vcpu, "call failed", error);
	} else {
		counts->returned++;
		counts->points[3] += in_exit;
		if (!answer_ok(vcpu, &request, &result)) {
			counts->wrong++;
			fprintf(stderr, "storm: call %#llx args %llx %llx\n",
				(unsigned long long)request.number,
				(unsigned long long)request.args[0],
				(unsigned long long)request.args[1]);
			complain(vcpu, "wrong answer", result.value);
		}
	}
}

uint64_t storm_doorbell(void *opaque, struct sym_vcpu *sym, void *vcpu_opaque,
			const uint64_t request[6])
{
	struct storm_vcpu *vcpu = vcpu_opaque;
	struct sym_call_request call = {.number = PROBE_CALL, .args = {request[0]}};
	struct sym_call_result result = {0};
	uint64_t sum = 0;
	int error = 0;

	for (unsigned int i = 0; i < PROBE_CALLS && !error; i++) {
		error = sym_call_safepoint(sym, &call, &result);
		sum += result.value;
		/* Atomic calls stay possible in between. */
		if (!error && storm_random(vcpu) % 64 == 0)
			storm_call(vcpu, true);
	}
	call = (struct sym_call_request){.number = SYM_CALL_SAFEPOINT_PING,
					 .args = {request[0], request[1]}};
	if (!error)
		error = sym_call_safepoint(sym, &call, &result);
	if (error) {
		vcpu->counts.failed++;
		complain(vcpu, "safepoint call failed", error);
	}
	vcpu->doorbells++;
	return error ? (uint64_t)error : sum + result.value;
}
