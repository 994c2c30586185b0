// SPDX-License-Identifier: BSD-2-Clause
/*
 * Serves a missing page in the window.
 *
 * Within the budget a fault gets a chunk of neighbours that want pages as well. Beyond the budget
 * it still gets one page, because a write was under way when the flag FULL rose. store->ring lists
 * these pages, the oldest first. When the ring is full, one of them is taken back, in four passes
 * that cost the guest more and more (ring_take).
 */
#include <errno.h>
#include <string.h>

#include "swap/store/store_internal.h"

#define AHEAD_DIVISOR 8 /* one fault takes at most this part of the room */

/* Removes entries whose pages went otherwise, and all entries if use is within the budget again. */
static void ring_prune(struct swap_store *store)
{
	bool all = swap_used_locked(store) <= store->budget;
	unsigned kept = 0;

	for (unsigned i = 0; i < store->ring_count; i++) {
		struct swap_slot *record = &store->slots[store->ring[i]];

		if (all)
			record->flags &= (uint8_t)~SLOT_RING;
		else if (record->flags & SLOT_RING)
			store->ring[kept++] = store->ring[i];
	}
	store->ring_count = kept;
}

/*
 * Takes back the page of a slot that was backed beyond the budget. @pass 0: only if the guest has
 * not claimed it; 1: also if its contents can be moved elsewhere; 2: also if they are lost, unless
 * the guest has it mapped; 3: even then.
 */
static bool ring_take(struct swap_store *store, uint32_t slot, unsigned pass)
{
	struct swap_slot *record = &store->slots[slot];
	uint32_t word = swap_word(store, slot), state = SYM_SLOT_STATE(word);

	if (record->flags & SLOT_BUSY)
		return false;
	if (state == SYM_SLOT_FREE || state == SYM_SLOT_STORED || state == SYM_SLOT_FAILED)
		return swap_punch_dead_locked(store, slot, word);
	if (pass == 1 && state == SYM_SLOT_RESIDENT)
		return swap_evict_slot_locked(store, slot);
	if (pass < 2 || (pass == 2 && state == SYM_SLOT_MAPPED))
		return false;
	/*
	 * A guest that keeps the rules never has so many writes under way. The contents are lost,
	 * and the slot says so, unless the guest has it mapped (then it reads zeroes).
	 */
	if (swap_punch_locked(store, slot, 1) < 0)
		return false;
	if (state != SYM_SLOT_MAPPED)
		__atomic_store_n(&store->words[slot], SYM_SLOT_FAILED, __ATOMIC_RELEASE);
	swap_count(store, reclaimed, 1);
	return true;
}

/* Backs a slot beyond the budget; takes another such page back if there are too many. */
static int populate_over_locked(struct swap_store *store, uint32_t slot)
{
	int status;

	ring_prune(store);
	for (unsigned pass = 0; pass < 4 && store->ring_count == RING_SLOTS; pass++) {
		for (unsigned i = 0; i < store->ring_count; i++) {
			if (ring_take(store, store->ring[i], pass)) {
				ring_prune(store);
				break;
			}
		}
	}
	if (store->ring_count == RING_SLOTS)
		return -ENOMEM;
	status = swap_populate_locked(store, slot, 1);
	if (status < 0)
		return status;
	swap_count(store, over_budget, 1);
	store->slots[slot].flags |= SLOT_RING;
	store->ring[store->ring_count++] = slot;
	return 0;
}

/* Whether a fault nearby may put a page behind this slot, too. */
static bool wants_page(const struct swap_store *store, uint32_t slot)
{
	const struct swap_slot *record = &store->slots[slot];
	uint32_t state;

	if ((record->flags & SLOT_POPULATED) || record->where != WHERE_NONE)
		return false;
	state = SYM_SLOT_STATE(swap_word(store, slot));
	return state == SYM_SLOT_FREE || state == SYM_SLOT_WRITING;
}

/* The slots around @slot that get pages with it: those that follow, then those before it. */
static uint32_t chunk_around(const struct swap_store *store, uint32_t slot, uint32_t *count)
{
	uint64_t most = swap_room_locked(store) / AHEAD_DIVISOR;
	uint32_t low = slot / CHUNK_SLOTS * CHUNK_SLOTS, high = low + CHUNK_SLOTS;
	uint32_t first = slot, end = slot + 1;

	if (high > store->slot_count)
		high = store->slot_count;
	while (end < high && end - first < most && wants_page(store, end))
		end++;
	while (first > low && end - first < most && wants_page(store, first - 1))
		first--;
	*count = end - first;
	return first;
}

uint32_t swap_fault_serve(struct swap_store *store, uint32_t slot, uint32_t *count)
{
	uint32_t first = slot;
	int status = 0;

	*count = 1;
	swap_lock(store);
	swap_count(store, faults, 1);
	if (!(store->slots[slot].flags & SLOT_POPULATED)) {
		if (swap_room_locked(store)) {
			first = chunk_around(store, slot, count);
			status = swap_populate_locked(store, first, *count);
		}
		if (!swap_room_locked(store) || status < 0) {
			if (!(store->slots[slot].flags & SLOT_POPULATED)) {
				first = slot;
				*count = 1;
				status = populate_over_locked(store, slot);
			}
		}
		swap_pressure_update_locked(store);
	}
	swap_unlock(store);
	if (status < 0) {
		log_limited(store->log, LOG_LEVEL_ERROR,
			    "swap%u: no memory for slot %u, a vCPU waits for it: %s",
			    store->config.index, slot, strerror(-status));
		*count = 0;
	}
	return first;
}
