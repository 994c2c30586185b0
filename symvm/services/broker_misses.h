/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM's misses cost it, for the broker. A miss is a page that was there before and had to be
 * fetched again: a swap-in, or a refault of a file's page. The guest reports how many there were
 * (SymSpy), which is a claim. The slot stores count the fetches that they served and the time that
 * these took, which is the host's own knowledge. Pure: no I/O and no clock.
 */
#ifndef SYMVM_SERVICES_BROKER_MISSES_H
#define SYMVM_SERVICES_BROKER_MISSES_H

#include <stdbool.h>
#include <stdint.h>

/* Counters that never go back, but at a reboot of the guest. */
struct broker_miss_counts {
	uint64_t swap_ins, refaults; /* pages; the guest's claim */
	uint64_t fetches, fetch_ns;  /* the stores' */
	bool has_store;		     /* otherwise the guest swaps to what the VMM does not know */
};

/* All zero at first. The broker is told swap_ins, refaults and miss_ns. */
struct broker_misses {
	bool known;
	struct broker_miss_counts last;
	uint64_t claimed, fetched; /* swap-ins by the guest, and those that the stores saw */
	uint64_t swap_ins;	   /* pages since the VM's start, never less than before */
	uint64_t refaults;
	uint64_t pending_ns; /* of fetches that are not yet part of a mean */
	uint64_t miss_ns;    /* mean cost of a miss, 0: unknown, BROKER_MISS_NS_MAX at most */
};

#define BROKER_MISS_NS_MAX   1000000000ull
#define BROKER_MISSES_A_CALL (1ull << 24) /* 64 GiB: what one call may add */
#define BROKER_SWAP_IN_NS    5000u	  /* the guest's fault, and the copy from its slot */
#define BROKER_REFAULT_NS    100000u	  /* a read from a disk; the VMM does not measure it */

/*
 * Adds what the counters gained since the last call. Call it about once a second. The first call
 * and a counter that goes back (the guest was rebooted) add nothing. A claim of more than
 * BROKER_MISSES_A_CALL counts as that much. One thread.
 */
void broker_misses_update(struct broker_misses *misses, const struct broker_miss_counts *now);

#endif
