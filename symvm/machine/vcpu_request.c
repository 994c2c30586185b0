// SPDX-License-Identifier: BSD-2-Clause
/* How other threads reach a vCPU: the bits of vcpu->requests and the kick (see vcpu.c). */
#include <pthread.h>
#include <signal.h>

#include "machine/vcpu.h"
#include "machine/vm.h"

void vcpu_request(struct vcpu *vcpu, enum vcpu_request request)
{
	struct vm *vm = vcpu->vm;

	atomic_fetch_or(&vcpu->requests, request);
	if (vcpu->started && !pthread_equal(vcpu->thread, pthread_self())) {
		atomic_fetch_add_explicit(&vcpu->counters.kicks, 1, memory_order_relaxed);
		pthread_kill(vcpu->thread, VCPU_KICK_SIGNAL);
	}
	pthread_mutex_lock(&vm->state_lock);
	pthread_cond_broadcast(&vm->state_changed);
	pthread_mutex_unlock(&vm->state_lock);
}

bool vcpu_must_stop(struct vcpu *vcpu)
{
	return atomic_load_explicit(&vcpu->vm->end, memory_order_relaxed) != VM_END_NONE ||
	       atomic_load_explicit(&vcpu->vm->reset_requested, memory_order_relaxed);
}

void vcpu_request_all(struct vm *vm, enum vcpu_request request)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_request(vm->vcpus[i], request);
}
