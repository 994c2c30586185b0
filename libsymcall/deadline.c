/* SPDX-License-Identifier: BSD-2-Clause */
/* The deadline of a call: a time that the vCPU's thread compares, and the embedder's timer. */
#include "internal.h"

/* A deadline this long or longer may end a tick early, since a cheaper clock measures it. */
#define COARSE_DEADLINE_US 50000u

/*
 * Starts the deadline of a call, and returns its end (CLOCK_MONOTONIC, ns). The end is never later
 * than the embedder's timer, which may fire only once.
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
