/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps a guest from holding up its host by single instructions. KVM makes these exits on request,
 * if the CPU supports them. KVM api.rst, KVM_CAP_X86_NOTIFY_VMEXIT and KVM_CAP_X86_BUS_LOCK_EXIT.
 *
 * Notify exits (Intel): a guest that never lets an event in would hold the CPU without an exit. Bus
 * locks (Intel, AMD Zen 5): an atomic access across cache lines stops all CPUs of the host.
 */
#ifndef SYMVM_MACHINE_HOST_GUARD_H
#define SYMVM_MACHINE_HOST_GUARD_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "util/error.h"

struct vm;
struct vcpu;

/* Asks for both as far as the host has them. Main thread, before the first vCPU. -errno. */
int host_guard_enable(struct vm *vm, struct error *err);

/*
 * Delays a guest that locked the bus: each of its exits costs its vCPU a millisecond, so it gets at
 * most 1000 of them a second. The vCPU's thread only.
 */
void host_guard_on_exit(struct vcpu *vcpu, const struct kvm_run *run);

/*
 * Whether the guest can continue after this KVM_EXIT_NOTIFY: its state must be whole. The vCPU's
 * thread only.
 */
bool host_guard_can_continue(const struct kvm_run *run);

#endif
