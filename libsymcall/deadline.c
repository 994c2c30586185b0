/* SPDX-License-Identifier: BSD-2-Clause */
/* The deadline of a call: where the vCPU's thread looks, and the embedder's timer. */
#include "internal.h"

/* From here on a deadline may end a tick early, for the sake of a cheaper clock. */
#define COARSE_DEADLINE_US 50000u

/*
 * Start the clock of a call; returns its end, CLOCK_MONOTONIC in ns. Never later than
 * the embedder's timer, which may fire but once.
 */
uint64_t sym_deadline_start(struct sym_vcpu *vcpu, uint32_t deadline_us)
{
	uint64_t now = deadline_us < COARSE_DEADLINE_US ? sym_now_ns() : sym_now_coarse_ns();
	uint64_t end = now + (uint64_t)deadline_us * 1000;

	atomic_store_explicit(&vcpu->deadline_ns, end, memory_order_relaxed);
	if (vcpu->vm->ops->arm_deadline)
		vcpu->vm->ops->arm_deadline(vcpu->opaque, deadline_us);
	return end;
}

void sym_deadline_stop(struct sym_vcpu *vcpu)
{
	atomic_store_explicit(&vcpu->deadline_ns, 0, memory_order_relaxed);
	if (vcpu->vm->ops->disarm_deadline)
		vcpu->vm->ops->disarm_deadline(vcpu->opaque);
}
