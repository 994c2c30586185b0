// SPDX-License-Identifier: BSD-2-Clause
/*
 * Host memory behind slots: which slot gets a page, which one loses it, and when the guest has to
 * ask first.
 *
 * The last pages of the budget are kept free for accesses that cannot wait. If less than one unit
 * (a 64th of the budget, 16 to 512 pages) is free, the guest has to ask before it writes. If less
 * than three units are free, the scan thread makes room until four are free. A write that was under
 * way when the flag rose still gets its page, beyond the budget. There are at most RING_SLOTS such
 * pages; then those of slots that the guest did not claim are taken back first.
 */
#include <errno.h>
#include <fcntl.h>

#include "swap/store/store_internal.h"

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
