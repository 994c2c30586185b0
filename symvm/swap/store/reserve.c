// SPDX-License-Identifier: BSD-2-Clause
/* RESERVE and FETCH, on the vCPU's thread. */
#include <errno.h>
#include <time.h>

#include "swap/store/store_internal.h"
#include "util/clock.h"

#define TRY_SLOTS 8u

/*
 * Tries once to make room on this thread: at most two looks of LOOK_SLOTS slots, with the store's
 * lock released in between. Returns true if it made any.
 */
static bool make_room_once(struct swap_store *store, unsigned age)
{
	unsigned punched, moved;

	swap_lock(store);
	punched = swap_punch_free_locked(store, CHUNK_SLOTS);
	swap_pressure_update_locked(store);
	swap_unlock(store);
	if (punched)
		return true;
	pthread_mutex_lock(&store->sync_lock);
	moved = swap_evict(store, store->sync_evictor, age, TRY_SLOTS);
	pthread_mutex_unlock(&store->sync_lock);
	return moved;
}

/* Whether another thread may make room soon. The lock is held. */
static bool others_try_locked(const struct swap_store *store)
{
	return !store->stopping && store->thread_count && (store->spill || !store->in_vain);
}

/*
 * Waits until the scan or the spill threads have made some progress. False after RESERVE_WAIT_MS
 * without any, or if no other thread tries. The lock is held.
 */
static bool others_wait_locked(struct swap_store *store)
{
	uint64_t before = store->counters.spilled;
	struct timespec until = clock_deadline(CLOCK_MONOTONIC, RESERVE_WAIT_MS);
	int status = 0;

	while (status == 0 && others_try_locked(store) && store->counters.spilled == before &&
	       !swap_room_locked(store)) {
		if (store->spill) {
			store->spill_wanted = true;
			pthread_cond_broadcast(&store->io);
		}
		store->room_wanted = true;
		pthread_cond_signal(&store->work);
		status = pthread_cond_clockwait(&store->room, &store->lock, CLOCK_MONOTONIC,
						&until);
	}
	return status == 0 && others_try_locked(store);
}

/*
 * Returns with the lock held. True: there is room for a page. This thread looks for room
 * RESERVE_LOOKS times and leaves the rest to the scan and the spill threads. Meanwhile the guest's
 * request is held back, RESERVE_MOST_MS at most, rather than refused.
 */
static bool room_lock(struct swap_store *store)
{
	uint64_t until = clock_now_ns() + RESERVE_MOST_MS * NS_PER_MS;
	unsigned looks = 0;
	bool more;

	for (;;) {
		swap_lock(store);
		if (swap_room_locked(store))
			return true;
		swap_unlock(store);
		if (looks < RESERVE_LOOKS) {
			make_room_once(store, looks++ ? 0 : COLD_SCANS);
			continue;
		}
		swap_lock(store);
		more = others_wait_locked(store) && clock_now_ns() < until;
		if (!more)
			return swap_room_locked(store) > 0;
		swap_unlock(store);
	}
}

int swap_store_reserve(struct swap_store *store, uint64_t slot)
{
	int status = 0;

	if (slot >= store->slot_count)
		return -EINVAL;
	swap_count(store, reserves, 1);
	swap_lock(store);
	if (!(store->slots[slot].flags & SLOT_POPULATED)) {
		if (!swap_room_locked(store)) {
			swap_unlock(store);
			if (!room_lock(store))
				status = -ENOSPC;
		}
		if (status == 0 && !(store->slots[slot].flags & SLOT_POPULATED) &&
		    swap_populate_locked(store, (uint32_t)slot, 1) < 0)
			status = -ENOSPC;
		swap_pressure_update_locked(store);
	}
	/*
	 * So that the page is not taken as that of a freed slot before the guest has claimed the
	 * slot.
	 */
	store->slots[slot].age = 0;
	swap_unlock(store);
	if (status < 0)
		swap_count(store, reserves_refused, 1);
	return status;
}

/*
 * Brings the following slots back as long as there is ample room: a guest that swaps in a page will
 * soon want its neighbours, and each doorbell is an exit.
 */
static void fetch_ahead_locked(struct swap_store *store, uint32_t slot)
{
	uint32_t end = slot + 1 + FETCH_AHEAD;

	end = end < store->slot_count ? end : store->slot_count;
	while (++slot < end && swap_room_locked(store) > 3 * store->unit) {
		const struct swap_slot *record = &store->slots[slot];

		if ((record->where != WHERE_FILLED && record->where != WHERE_COMPRESSED) ||
		    SYM_SLOT_STATE(swap_word(store, slot)) != SYM_SLOT_STORED ||
		    swap_slot_restore_locked(store, slot, NULL) < 0)
			return;
		swap_count(store, fetched_ahead, 1);
	}
}

/* With the lock held and room for a page. */
static int fetch_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *record = &store->slots[slot];

	if (SYM_SLOT_STATE(swap_word(store, slot)) != SYM_SLOT_STORED)
		return 0;
	if (record->where == WHERE_NONE) {
		swap_count(store, violations, 1);
		swap_slot_fail_locked(store, slot, SYM_SLOT_STORED);
		return 0;
	}
	if (record->where == WHERE_SPILLED) {
		swap_fetch_queue_locked(store, slot);
		return -EAGAIN;
	}
	if (swap_slot_restore_locked(store, slot, NULL) == -ENOMEM)
		return -ENOSPC;
	fetch_ahead_locked(store, slot);
	return 0;
}

int swap_store_fetch(struct swap_store *store, uint64_t slot)
{
	uint64_t begun = clock_now_ns();
	int status;

	if (slot >= store->slot_count)
		return -EINVAL;
	swap_count(store, fetches, 1);
	swap_lock(store);
	if (!swap_room_locked(store)) {
		swap_unlock(store);
		/*
		 * The memory of the stored copy becomes free in whole slabs, perhaps later: some
		 * overrun is allowed.
		 */
		status = room_lock(store) || swap_used_locked(store) < store->ceiling + GROWTH_PAGES
				 ? 0
				 : -ENOSPC;
	} else {
		status = 0;
	}
	if (status == 0)
		status = fetch_locked(store, (uint32_t)slot);
	swap_unlock(store);
	swap_count(store, fetch_ns, clock_now_ns() - begun);
	if (status == -EAGAIN)
		swap_count(store, fetches_waiting, 1);
	else if (status == -ENOSPC)
		swap_count(store, fetches_refused, 1);
	return status;
}
