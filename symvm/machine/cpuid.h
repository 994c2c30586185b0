/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_MACHINE_CPUID_H
#define SYMVM_MACHINE_CPUID_H

#include <linux/kvm.h>

#include "util/error.h"

struct vm;

#define CPUID_ENTRIES_MAX 256u

/*
 * Fills @table (room for CPUID_ENTRIES_MAX entries) with what vCPU @id of @vm shows: what
 * KVM supports on this host, one socket with as many cores as there are vCPUs, no
 * nested virtualization, and the symbiotic leaves if the interface is on. Main thread.
 * KVM api.rst "KVM_GET_SUPPORTED_CPUID"; APM vol. 3 appendix E; SDM vol. 2A CPUID.
 */
int cpuid_build(struct vm *vm, unsigned id, struct kvm_cpuid2 *table, struct error *err);

/* The guest's MAXPHYADDR, which is the host's: width of a guest-physical address. Any thread. */
unsigned cpuid_physical_address_bits(void);

#endif
