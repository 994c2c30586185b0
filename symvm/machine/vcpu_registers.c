// SPDX-License-Identifier: BSD-2-Clause
#include "machine/vcpu_registers.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <symbiotic/symcall.h>

#include "machine/vcpu.h"

struct reading {
	struct vcpu_registers *out;
	int status;
};

/* On the vCPU's thread, whose last exit is complete. */
static void read_registers(struct vcpu *vcpu, void *opaque)
{
	struct reading *reading = opaque;
	struct vcpu_registers *out = reading->out;
	struct sym_spy_vcpu_guest spy;
	struct kvm_mp_state state;

	/* After a call KVM still has the handler's registers. */
	if (vcpu->symbiotic) {
		reading->status = sym_vcpu_settle(vcpu->symbiotic);
		if (reading->status < 0)
			return;
	}
	if (ioctl(vcpu->fd, KVM_GET_REGS, &out->regs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_SREGS, &out->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) < 0) {
		reading->status = -errno;
		return;
	}
	out->halted = state.mp_state != KVM_MP_STATE_RUNNABLE;
	out->has_task = vcpu->symbiotic && sym_vcpu_spy_read(vcpu->symbiotic, &spy) == 0;
	out->task = out->has_task ? spy.pid : 0;
	reading->status = 0;
}

int vcpu_registers_read(struct vcpu *vcpu, unsigned timeout_ms, struct vcpu_registers *registers)
{
	struct reading reading = {.out = registers};
	int status = vcpu_inspect(vcpu, read_registers, &reading, timeout_ms);

	return status < 0 ? status : reading.status;
}
