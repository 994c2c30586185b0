/* SPDX-License-Identifier: BSD-2-Clause */
/* A broker policy: what each VM of a host should have. A pure function of what all VMs say. */
#ifndef SYMVM_BROKER_POLICY_H
#define SYMVM_BROKER_POLICY_H

#include <stddef.h>
#include <stdint.h>

struct broker_vm_view {
	uint64_t id;
	uint64_t min, max, weight;
	uint64_t leased, used, idle, want; /* bytes */
	uint64_t refaults, swap_ins;	   /* pages since the VM's start */
	uint64_t psi_some, psi_full;	   /* hundredths of a percent */
	uint64_t miss_ns;		   /* what one swap-in costs; 0: unknown */
};

struct broker_host_view {
	uint64_t share, free;	     /* bytes */
	uint64_t psi_some, psi_full; /* hundredths of a percent */
	uint64_t now_ns;
};

struct broker_policy {
	const char *name;
	size_t state_size;
	void (*decide)(void *state, const struct broker_host_view *host,
		       const struct broker_vm_view *vms, size_t count, uint64_t *targets);
};

#endif
