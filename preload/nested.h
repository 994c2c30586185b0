/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a vCPU runs a guest of its guest. A call must not enter there: it would find registers
 * and page tables of somebody else. Kernels before 6.11 do not say so in kvm_run
 * (KVM_RUN_X86_GUEST_MODE), so the library asks KVM before each call, if the guest can nest at all.
 */
#ifndef PRELOAD_NESTED_H
#define PRELOAD_NESTED_H

#include <linux/kvm.h>
#include <stdbool.h>

struct preload_vcpu;
struct preload_vm;

/* Whether the VMM's CPUID list shows SVM or VMX to the guest. */
bool nested_is_offered(const struct kvm_cpuid2 *list);

/* What KVM says about nested guests: sets vm->nested_*. The thread that created the VM. */
void nested_check_host(struct preload_vm *vm, int kvm_fd);

/*
 * Whether a call may enter: false also if that is not known. libsymcall checks
 * KVM_RUN_X86_GUEST_MODE by itself. The vCPU's thread, between two KVM_RUN.
 */
bool nested_allows_call(struct preload_vcpu *vcpu);

#endif
