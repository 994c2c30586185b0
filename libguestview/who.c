// SPDX-License-Identifier: BSD-2-Clause
#include "who.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guest_who_ring {
	unsigned capacity;
	unsigned first; /* the oldest record */
	unsigned count;
	uint64_t lost;
	struct guest_who records[];
};

static void describe_exit(unsigned vcpu, const struct kvm_run *run, struct guest_who *record)
{
	record->vcpu = vcpu;
	record->mmio = run->exit_reason == KVM_EXIT_MMIO;
	record->has_stack = false;
	record->stack.count = 0;
	if (record->mmio) {
		record->address = run->mmio.phys_addr;
		record->size = run->mmio.len;
		record->write = run->mmio.is_write;
	} else {
		record->address = run->io.port;
		record->size = run->io.size;
		record->write = run->io.direction == KVM_EXIT_IO_OUT;
	}
}

static void log_failure(const struct guest *guest, unsigned vcpu, const char *what, int status)
{
	char line[128];

	if (!guest->ops->log || status == -EBUSY)
		return;
	snprintf(line, sizeof(line), "who: vCPU %u: no %s: %s", vcpu, what, strerror(-status));
	guest->ops->log(guest->opaque, SYM_LOG_DEBUG, line);
}

static int ask_task(struct sym_vcpu *engine, struct guest_whoami *task)
{
	struct sym_whoami message;
	struct sym_call_request request = guest_whoami_request(&message);
	struct sym_call_result result = {0};
	int status = sym_call(engine, &request, &result);

	return status < 0
		       ? status
		       : guest_whoami_decode(result.value, &message, result.message_length, task);
}

static int ask_stack(struct sym_vcpu *engine, struct guest_stack *stack)
{
	struct sym_call_request request = guest_stack_request(stack);
	struct sym_call_result result = {0};
	int status = sym_call(engine, &request, &result);

	return status < 0 ? status : guest_stack_decode(result.value, result.message_length, stack);
}

/* Fills in the task and, if @stack, the stack. */
static int ask_cause(const struct guest *guest, unsigned vcpu, bool stack, struct guest_who *record)
{
	struct sym_vcpu *engine = guest->ops->engine(guest->opaque, vcpu);
	int status;

	status = ask_task(engine, &record->task);
	if (status < 0) {
		log_failure(guest, vcpu, "task", status);
		return status;
	}
	if (stack) {
		status = ask_stack(engine, &record->stack);
		record->has_stack = status == 0;
		if (status < 0)
			log_failure(guest, vcpu, "stack", status);
	}
	return 0;
}

int guest_who_ask(const struct guest *guest, unsigned vcpu, const struct kvm_run *run, bool stack,
		  struct guest_who *record)
{
	/* Before the calls: they use kvm_run. */
	describe_exit(vcpu, run, record);
	return ask_cause(guest, vcpu, stack, record);
}

int guest_who_ask_now(const struct guest *guest, unsigned vcpu, bool stack,
		      struct guest_who *record)
{
	*record = (struct guest_who){.vcpu = vcpu};
	return ask_cause(guest, vcpu, stack, record);
}

struct guest_who_ring *guest_who_ring_create(unsigned capacity)
{
	struct guest_who_ring *ring;

	if (capacity == 0 || capacity > GUEST_WHO_RING_MAX)
		return NULL;
	ring = calloc(1, sizeof(*ring) + capacity * sizeof(ring->records[0]));
	if (ring)
		ring->capacity = capacity;
	return ring;
}

void guest_who_ring_destroy(struct guest_who_ring *ring)
{
	free(ring);
}

bool guest_who_ring_put(struct guest_who_ring *ring, const struct guest_who *record)
{
	if (ring->count == ring->capacity) {
		ring->lost++;
		return false;
	}
	ring->records[(ring->first + ring->count++) % ring->capacity] = *record;
	return true;
}

bool guest_who_ring_take(struct guest_who_ring *ring, struct guest_who *record)
{
	if (ring->count == 0)
		return false;
	*record = ring->records[ring->first];
	ring->first = (ring->first + 1) % ring->capacity;
	ring->count--;
	return true;
}

unsigned guest_who_ring_count(const struct guest_who_ring *ring)
{
	return ring->count;
}

uint64_t guest_who_ring_lost(const struct guest_who_ring *ring)
{
	return ring->lost;
}
