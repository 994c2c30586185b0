/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking back RAM that was granted: when the guest does not need it, when the host does, and when
 * the budget was made smaller. Best effort: the guest's driver follows as far as it can.
 */
#ifndef SYMVM_SWAP_POLICY_SHRINK_H
#define SYMVM_SWAP_POLICY_SHRINK_H

#include <stdbool.h>
#include <stdint.h>

struct swap_shrink {
	unsigned calm; /* ticks for which the guest had much free memory */
};

/* The state at a tick; there is one per second. Bytes. */
struct swap_shrink_view {
	uint64_t boot;
	uint64_t requested;
	uint64_t plugged;
	uint64_t floor;
	uint64_t block_size;
	uint64_t over_budget; /* by how much RAM and slots exceed the budget */
	uint64_t mem_free;    /* as the guest reports; 0: it does not */
	bool pressed;	      /* the host is short of memory */
};

enum swap_shrink_reason {
	SWAP_SHRINK_NONE,
	SWAP_SHRINK_IDLE,
	SWAP_SHRINK_PRESSURE,
	SWAP_SHRINK_BUDGET,
	SWAP_SHRINK_COUNT
};

/*
 * Sets *@requested to what is requested from now on and returns why it is less; NONE: no change.
 * Takes no lock and reads no clock.
 */
enum swap_shrink_reason swap_shrink_tick(struct swap_shrink *shrink,
					 const struct swap_shrink_view *view, uint64_t *requested);

#endif
