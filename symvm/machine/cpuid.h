/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_MACHINE_CPUID_H
#define SYMVM_MACHINE_CPUID_H

#include <linux/kvm.h>

#include "util/error.h"

struct vm;

#define CPUID_ENTRIES_MAX 256u

/*
 * Fills @table (room for CPUID_ENTRIES_MAX entries) with the CPUID of vCPU @id of @vm: what KVM
 * supports on this host, and one socket with as many cores as there are vCPUs. It has no nested
 * virtualization. If the interface is on, it has the symbiotic leaves and no feature that keeps
 * calls out (CET, FRED). Also sets vm->physical_bits. Main thread. -errno with words. KVM api.rst
 * "KVM_GET_SUPPORTED_CPUID"; APM vol. 3 appendix E; SDM vol. 2A CPUID.
 */
int cpuid_build(struct vm *vm, unsigned id, struct kvm_cpuid2 *table, struct error *err);

#endif
