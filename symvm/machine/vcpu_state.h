/* SPDX-License-Identifier: BSD-2-Clause */
/* The power-on state of a vCPU and of the VM's irqchip, kept for resets. */
#ifndef SYMVM_MACHINE_VCPU_STATE_H
#define SYMVM_MACHINE_VCPU_STATE_H

#include <linux/kvm.h>

#include "util/error.h"

struct vm;
struct vcpu;
struct vcpu_power_on;
struct chip_power_on;

/*
 * Sets the registers that differ from KVM's own power-on state (MTRRs: write-back, the PCI hole
 * uncached) and stores the state in *@state, including the extended one (XSAVE) and the MTRRs. The
 * caller frees it. After the vCPU's CPUID is set. The thread that created the vCPU, before it runs.
 * -errno with words.
 */
int vcpu_state_capture(struct vcpu *vcpu, struct vcpu_power_on **state, struct error *err);
/* Sets the vCPU back to that state. vCPU threads parked. 0 or -errno. */
int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_power_on *state);
/* NULL is allowed. Any thread. */
void vcpu_state_free(struct vcpu_power_on *state);

/* The same for PICs, IOAPIC and PIT. */
int chip_state_capture(struct vm *vm, struct chip_power_on **state, struct error *err);
int chip_state_restore(struct vm *vm, const struct chip_power_on *state);
void chip_state_free(struct chip_power_on *state);

#endif
