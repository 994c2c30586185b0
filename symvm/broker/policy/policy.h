/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A broker policy says what each VM of a host should have. It is one file with one constant struct
 * in a linker section. It is a function of what all VMs say and of a state of its own: no I/O, no
 * clock and no lock. So the broker, tests and a simulator run the same code. What a VM says about
 * itself are claims (want, idle, the counters, miss_ns); leased and used are the broker's own.
 */
#ifndef SYMVM_BROKER_POLICY_H
#define SYMVM_BROKER_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "util/registry.h"

#define BROKER_POLICY_VMS_MAX 256u

struct broker_vm_view {
	uint64_t id; /* the same VM has the same id in every call */
	uint64_t min, max, weight;
	uint64_t leased, used, idle, want; /* bytes; idle <= leased, min <= want <= max */
	uint64_t refaults, swap_ins;	   /* pages since the VM's start; none is in both */
	uint64_t psi_some, psi_full;	   /* hundredths of a percent */
	uint64_t miss_ns;		   /* what one of them costs; 0: unknown */
};

struct broker_host_view {
	uint64_t share, free;	     /* bytes; free: of the host */
	uint64_t psi_some, psi_full; /* hundredths of a percent */
	uint64_t now_ns;	     /* of any clock that does not go back */
};

struct broker_policy {
	const char *name; /* "demand" */
	const char *help; /* one line */
	size_t state_size;
	/*
	 * Writes targets[0] to targets[count - 1], in bytes. @count: BROKER_POLICY_VMS_MAX at most.
	 * If the mins fit into the share, each target is from min to max, and their sum is at most
	 * the share. @state: state_size bytes, zero at first; NULL if that is 0. One thread.
	 */
	void (*decide)(void *state, const struct broker_host_view *host,
		       const struct broker_vm_view *vms, size_t count, uint64_t *targets);
	/*
	 * Writes in one line what the last decisions know about @vm beyond its view, and what that
	 * is worth. NULL: nothing.
	 */
	void (*explain)(const void *state, const struct broker_vm_view *vm, char *text,
			size_t size);
};
#define BROKER_POLICY(object) REGISTRY_ENTRY(symvm_broker_policies, struct broker_policy, object)

/* By name, or NULL. Any thread. */
const struct broker_policy *broker_policy_find(const char *name);
/* "demand, proportional, static", or as much as @size has room for. Any thread. */
void broker_policy_names(char *text, size_t size);

/* What one VM may get of what is shared out. */
struct broker_claim {
	uint64_t low, high; /* bytes */
	uint64_t weight;    /* 0 to 2^60 */
	/* What it gets beyond this costs it BROKER_IDLE_COST times as much; UINT64_MAX: nothing. */
	uint64_t active;
};
#define BROKER_IDLE_COST 4u

/*
 * Shares @total out in proportion to weights: each VM gets the common level times its weight, but
 * at least its low and at most its high. All of @total is given, but for the rounding, if the highs
 * need it. If the lows do not fit into @total, each gets its low. Any thread.
 */
void broker_share_out(uint64_t total, size_t count, const struct broker_claim *claims,
		      uint64_t *out);

#endif
