/* SPDX-License-Identifier: BSD-2-Clause */
/* Exits of the interface itself: its MSRs and its ports. */
#include <string.h>

#include "internal.h"

static bool dispatch_msr(struct sym_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint32_t index = run->msr.index - SYM_MSR_BASE;
	uint64_t value = 0;

	if (index >= SYM_MSR_COUNT)
		return false;
	if (run->exit_reason == KVM_EXIT_X86_WRMSR) {
		run->msr.error = sym_registration_write(vcpu, index, run->msr.data) ? 1 : 0;
	} else {
		run->msr.error = sym_registration_read(vcpu, index, &value) ? 1 : 0;
		run->msr.data = value;
	}
	return true;
}

static bool dispatch_port(struct sym_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	unsigned int index = run->io.port - SYM_PORT_BASE;

	if (index >= SYM_PORT_COUNT)
		return false;
	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset((uint8_t *)run + run->io.data_offset, 0xff,
		       (size_t)run->io.size * run->io.count);
		return true;
	}
	if (index == SYM_PORT_DOORBELL)
		sym_doorbell_ring(vcpu);
	else
		sym_count(vcpu, returns_without_call);
	return true;
}

/*
 * Serves the exit in kvm_run and returns true if the exit is the interface's own. The return of a
 * call, and a doorbell that answers a safepoint call, do not come here.
 */
bool sym_dispatch_exit(struct sym_vcpu *vcpu)
{
	if (!vcpu->vm->offered)
		return false;
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		return dispatch_port(vcpu);
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		return dispatch_msr(vcpu);
	}
	return false;
}

/*
 * Serves the exit in kvm_run that came while the library ran the vCPU. 0, or the negative errno of
 * service_exit. While service_exit runs, `nested` keeps calls and doorbells out.
 */
int sym_dispatch_nested_exit(struct sym_vcpu *vcpu)
{
	int error;

	sym_count(vcpu, nested_exits);
	if (sym_dispatch_exit(vcpu))
		return 0;
	vcpu->nested++;
	error = vcpu->vm->ops->service_exit(vcpu->opaque, vcpu->run);
	vcpu->nested--;
	return error;
}
