/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of a vCPU, for dumps and reports. */
#ifndef SYMVM_MACHINE_VCPU_REGISTERS_H
#define SYMVM_MACHINE_VCPU_REGISTERS_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

struct vcpu_registers {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	bool halted;   /* in HLT, or it waits to be started */
	bool has_task; /* the guest publishes its current task (SymSpy) */
	uint32_t task; /* that task's number, of the thread; 0: the idle task */
};

/*
 * Reads them on the vCPU's thread, after the instruction of its last exit and after a symbiotic
 * call: what the guest continues with. Any thread but vCPU threads; also while the VM is paused or
 * held. -ETIMEDOUT: the vCPU is busy with a device for @timeout_ms; -ESHUTDOWN; -errno of KVM.
 */
int vcpu_registers_read(struct vcpu *vcpu, unsigned timeout_ms, struct vcpu_registers *registers);

#endif
