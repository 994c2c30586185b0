// SPDX-License-Identifier: BSD-2-Clause
/*
 * Host memory behind slots: who gets a page, who loses it, and when the guest has to ask first.
 *
 * Of the budget the last pages are kept free, for those who cannot wait: below one unit
 * (a 64th of the budget, 512 pages at most) the guest has to ask before it writes, below three the
 * scan makes room until four are free. A write that was under way when the flag rose still gets its
 * page, beyond the budget, but of such pages there are at most RING_SLOTS; then those of
 * slots that the guest did not claim go first.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "swap/store/store_internal.h"

#define AHEAD_DIVISOR 8 /* of the room that is left, one fault takes no more */

void swap_pressure_update_locked(struct swap_store *store)
{
	uint64_t used = swap_used_locked(store), room = swap_room_locked(store);
	/* With room for all slots there is never a reason to ask. */
	bool ample = store->budget >= store->slot_count;
	bool full = !ample && room < (store->full ? 2 : 1) * store->unit;

	if (used < store->ceiling)
		store->ceiling = used > store->budget ? used : store->budget;
	if (full != store->full) {
		store->full = full;
		__atomic_store_n(&store->header->flags, full ? SYM_SWAP_FULL : 0, __ATOMIC_RELEASE);
	}
	if (!ample && room < 3 * store->unit && !store->room_wanted) {
		store->room_wanted = true;
		pthread_cond_signal(&store->work);
	}
	if (ample || room >= 4 * store->unit)
		store->spill_wanted = false;
}

int swap_populate_locked(struct swap_store *store, uint32_t first, uint32_t count)
{
	int status;

	do {
		status = fallocate(store->fd, 0, (off_t)swap_slot_offset(store, first),
				   (off_t)count * SLOT_SIZE);
	} while (status < 0 && errno == EINTR);
	if (status < 0)
		return -errno;
	for (uint32_t slot = first; slot < first + count; slot++) {
		store->slots[slot].flags |= SLOT_POPULATED;
		store->groups[slot / GROUP_SLOTS].populated++;
	}
	store->resident += count;
	swap_count(store, populated, count);
	return 0;
}

int swap_punch_locked(struct swap_store *store, uint32_t first, uint32_t count)
{
	int status;

	do {
		status = fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)swap_slot_offset(store, first), (off_t)count * SLOT_SIZE);
	} while (status < 0 && errno == EINTR);
	if (status < 0)
		return -errno;
	for (uint32_t slot = first; slot < first + count; slot++) {
		store->slots[slot].flags &= (uint8_t) ~(SLOT_POPULATED | SLOT_RING |
							SLOT_INCOMPRESSIBLE);
		store->groups[slot / GROUP_SLOTS].populated--;
	}
	store->resident -= count;
	return 0;
}

bool swap_punch_dead_locked(struct swap_store *store, uint32_t slot, uint32_t word)
{
	bool punched;

	if (!swap_word_change(store, slot, word, SYM_SLOT_OWNED))
		return false;
	punched = swap_punch_locked(store, slot, 1) == 0;
	if (swap_word_release_locked(store, slot, word) == SYM_SLOT_FREE &&
	    SYM_SLOT_STATE(word) != SYM_SLOT_FREE)
		swap_copy_drop_locked(store, slot);
	return punched;
}

/* Forgets entries whose pages went otherwise, and all where the budget has room again. */
static void ring_prune(struct swap_store *store)
{
	bool all = swap_used_locked(store) <= store->budget;
	unsigned kept = 0;

	for (unsigned i = 0; i < store->ring_count; i++) {
		struct swap_slot *what = &store->slots[store->ring[i]];

		if (all)
			what->flags &= (uint8_t)~SLOT_RING;
		else if (what->flags & SLOT_RING)
			store->ring[kept++] = store->ring[i];
	}
	store->ring_count = kept;
}

/*
 * Takes back the page of a slot that was filled beyond the budget. @pass 0: only if the guest has
 * not claimed it; 1: or if its contents can be moved elsewhere; 2: whatever becomes of them, unless
 * the guest has it mapped; 3: that, too.
 */
static bool ring_take(struct swap_store *store, uint32_t slot, unsigned pass)
{
	struct swap_slot *what = &store->slots[slot];
	uint32_t word = swap_word(store, slot), state = SYM_SLOT_STATE(word);

	if (what->flags & SLOT_BUSY)
		return false;
	if (state == SYM_SLOT_FREE || state == SYM_SLOT_STORED || state == SYM_SLOT_FAILED)
		return swap_punch_dead_locked(store, slot, word);
	if (pass == 1 && state == SYM_SLOT_RESIDENT)
		return swap_move_out_locked(store, slot);
	if (pass < 2 || (pass == 2 && state == SYM_SLOT_MAPPED))
		return false;
	/*
	 * More writes than any guest has under way that keeps the rules: the contents are lost, and
	 * the slot says so, unless the guest has it mapped (then it reads zeroes).
	 */
	if (swap_punch_locked(store, slot, 1) < 0)
		return false;
	if (state != SYM_SLOT_MAPPED)
		__atomic_store_n(&store->words[slot], SYM_SLOT_FAILED, __ATOMIC_RELEASE);
	swap_count(store, reclaimed, 1);
	return true;
}

int swap_populate_over_locked(struct swap_store *store, uint32_t slot)
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
	const struct swap_slot *what = &store->slots[slot];
	uint32_t state;

	if ((what->flags & SLOT_POPULATED) || what->where != WHERE_NONE)
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

uint32_t swap_serve_fault(struct swap_store *store, uint32_t slot, uint32_t *count)
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
				status = swap_populate_over_locked(store, slot);
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
