/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU: creation, reset, and the first look at each of its exits. */
#include <stdlib.h>
#include <sys/random.h>

#include "internal.h"

struct sym_vcpu *sym_vcpu_create(struct sym_vm *vm, int vcpu_fd, struct kvm_run *run,
				 unsigned int id, void *opaque)
{
	struct sym_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	uint64_t seed[2];
	int error;

	if (!vcpu)
		return NULL;
	if (getrandom(seed, sizeof(seed), 0) != sizeof(seed)) {
		free(vcpu);
		return NULL;
	}
	error = pthread_mutex_init(&vcpu->spy_lock, NULL);
	if (error) {
		free(vcpu);
		errno = error;
		return NULL;
	}
	vcpu->vm = vm;
	vcpu->fd = vcpu_fd;
	vcpu->run = run;
	vcpu->id = id;
	vcpu->opaque = opaque;
	vcpu->random = seed[0];
	vcpu->sequence = seed[1];
	return vcpu;
}

void sym_vcpu_destroy(struct sym_vcpu *vcpu)
{
	if (!vcpu)
		return;
	sym_registration_drop(vcpu);
	pthread_mutex_destroy(&vcpu->spy_lock);
	free(vcpu);
}

void sym_vcpu_reset(struct sym_vcpu *vcpu)
{
	sym_registration_drop(vcpu);
	vcpu->exit.kind = SYM_EXIT_NONE;
	vcpu->exit.completed = false;
	vcpu->exit.answered = false;
	vcpu->dead = false;
	vcpu->kicked = false;
	vcpu->at_kick = false;
	/* The context that a call was about to restore belongs to the old guest. */
	vcpu->run->kvm_dirty_regs = 0;
}

int sym_vcpu_run_begin(struct sym_vcpu *vcpu)
{
	int error;

	if (vcpu->dead) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 1;
	}
	if (vcpu->exit.kind != SYM_EXIT_NONE || vcpu->exit.completed) {
		error = sym_exit_end(vcpu);
		if (error && error != -EINVAL)
			return error;
	}
	if (vcpu->kicked) {
		vcpu->kicked = false;
		return -EINTR;
	}
	sym_spy_set_preempted(vcpu, false);
	return 0;
}

int sym_vcpu_handle_exit(struct sym_vcpu *vcpu, int run_result)
{
	/* A bit left here would load stale registers at some later run. */
	vcpu->run->kvm_dirty_regs = 0;
	sym_spy_set_preempted(vcpu, true);
	vcpu->at_kick = run_result == -EINTR;
	vcpu->exit.kind = SYM_EXIT_NONE;
	vcpu->exit.completed = false;
	vcpu->exit.answered = false;
	if (run_result)
		return run_result;
	if (sym_dispatch_exit(vcpu)) {
		if (!vcpu->dead)
			return 1;
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	vcpu->exit.kind = sym_exit_kind_of(vcpu->run);
	return 0;
}

int sym_vcpu_run(struct sym_vcpu *vcpu)
{
	int result = sym_vcpu_run_begin(vcpu);

	if (result)
		return result == 1 ? 0 : result;
	return sym_vcpu_handle_exit(vcpu, sym_kvm_control(vcpu, KVM_RUN, NULL));
}

int sym_vcpu_settle(struct sym_vcpu *vcpu)
{
	uint32_t valid_regs = vcpu->run->kvm_valid_regs;
	int error;

	if (vcpu->nested || sym_activity(vcpu) != SYM_IDLE)
		return -EBUSY;
	error = sym_exit_end(vcpu);
	if (error && error != -EINVAL)
		return error;
	error = sym_exit_complete(vcpu, false);
	vcpu->run->kvm_valid_regs = valid_regs;
	return error;
}

int sym_vcpu_set_guest_debug(struct sym_vcpu *vcpu, const struct kvm_guest_debug *debug)
{
	struct kvm_guest_debug copy = *debug;
	int error = sym_kvm_control(vcpu, KVM_SET_GUEST_DEBUG, &copy);

	if (!error)
		vcpu->debug = *debug;
	return error;
}

bool sym_vcpu_enabled(const struct sym_vcpu *vcpu)
{
	return atomic_load(&vcpu->enabled) && !atomic_load(&vcpu->latched) &&
	       sym_activity(vcpu) == SYM_IDLE;
}

bool sym_vcpu_overdue(const struct sym_vcpu *vcpu)
{
	uint64_t deadline = atomic_load_explicit(&vcpu->deadline_ns, memory_order_relaxed);

	return deadline && sym_now_ns() >= deadline;
}
