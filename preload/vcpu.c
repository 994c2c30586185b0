// SPDX-License-Identifier: BSD-2-Clause
/*
 * A vCPU as its VMM asks KVM for it: everything but KVM_RUN (run.c). By KVM's rules all of these
 * requests come from the vCPU's thread, or before it exists.
 */
#include "vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nested.h"
#include "raw_ioctl.h"
#include "say.h"

struct preload_vcpu *preload_vcpu_create(struct preload_vm *vm, int fd, unsigned id)
{
	unsigned count = atomic_load(&vm->vcpu_count);
	struct preload_vcpu *vcpu = calloc(1, sizeof(*vcpu));
	void *run;

	/* The VMM maps it, too. Both mappings show the same page. */
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (vcpu && run != MAP_FAILED && count < PRELOAD_VCPUS)
		vcpu->engine = sym_vcpu_create(vm->engine, fd, run, id, vcpu);
	if (!vcpu || !vcpu->engine) {
		if (run != MAP_FAILED)
			munmap(run, vm->run_size);
		free(vcpu);
		return NULL;
	}
	vcpu->vm = vm;
	vcpu->fd = fd;
	vcpu->id = id;
	vcpu->index = count;
	vcpu->run = run;
	vm->vcpus[count] = vcpu;
	atomic_store(&vm->vcpu_count, count + 1);
	return vcpu;
}

static long set_cpuid(struct preload_vcpu *vcpu, void *argument)
{
	struct kvm_cpuid2 *extended = NULL;
	long result;
	int status;

	if (atomic_load(&vcpu->vm->off))
		return preload_raw_ioctl(vcpu->fd, KVM_SET_CPUID2, argument);
	status = request_extend_cpuid(vcpu->vm->engine, argument, &extended);
	if (status == 0) {
		vcpu->nests = nested_is_offered(extended);
		result = preload_raw_ioctl(vcpu->fd, KVM_SET_CPUID2, extended);
		free(extended);
		if (result >= 0)
			return result;
	}
	preload_step_aside(vcpu->vm, status == -EEXIST
					     ? "its CPUID list uses the interface's leaves"
					     : "KVM does not take the interface's CPUID leaves");
	return preload_raw_ioctl(vcpu->fd, KVM_SET_CPUID2, argument);
}

static long set_signal_mask(struct preload_vcpu *vcpu, void *argument)
{
	char copy[REQUEST_MASK_SIZE];

	if (!argument || request_unblock_signal(argument, vcpu->vm->kick_signal, copy) < 0)
		return preload_raw_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, argument);
	return preload_raw_ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, copy);
}

/*
 * A VMM sets the MP state when it resets a vCPU or loads another state into it. What the guest has
 * registered is void then.
 */
static long set_mp_state(struct preload_vcpu *vcpu, void *argument)
{
	preload_vcpu_reset(vcpu);
	atomic_fetch_add(&vcpu->resets, 1);
	if (vcpu->id == 0)
		sym_vm_reset(vcpu->vm->engine);
	sym_vcpu_reset(vcpu->engine);
	return preload_raw_ioctl(vcpu->fd, KVM_SET_MP_STATE, argument);
}

long preload_vcpu_ioctl(struct preload_vcpu *vcpu, unsigned long request, void *argument)
{
	bool ours = preload_vcpu_is_current(vcpu) || !atomic_load(&vcpu->thread);

	switch (request) {
	case KVM_RUN:
		return preload_vcpu_run(vcpu);
	case KVM_SET_CPUID2:
		return set_cpuid(vcpu, argument);
	case KVM_SET_SIGNAL_MASK:
		return set_signal_mask(vcpu, argument);
	}
	if (!ours)
		return preload_raw_ioctl(vcpu->fd, request, argument);
	if (request == KVM_SET_MP_STATE)
		return set_mp_state(vcpu, argument);
	preload_vcpu_settle(vcpu);
	if (request == KVM_SET_GUEST_DEBUG)
		return sym_vcpu_set_guest_debug(vcpu->engine, argument);
	return preload_raw_ioctl(vcpu->fd, request, argument);
}
