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
 * Sets what differs from KVM's own power-on state (MTRRs: write-back, the PCI hole
 * uncached) and remembers the state, also the extended one (XSAVE) and the MTRRs. After the vCPU's
 * CPUID is set. Thread that created the vCPU, before it runs.
 */
int vcpu_state_capture(struct vcpu *vcpu, struct vcpu_power_on **state, struct error *err);
/* Puts the vCPU back to that state. vCPU threads parked. */
int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_power_on *state);
void vcpu_state_free(struct vcpu_power_on *state);

/* The same for PICs, IOAPIC and PIT. */
int chip_state_capture(struct vm *vm, struct chip_power_on **state, struct error *err);
int chip_state_restore(struct vm *vm, const struct chip_power_on *state);
void chip_state_free(struct chip_power_on *state);

#endif
