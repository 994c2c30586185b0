// SPDX-License-Identifier: BSD-2-Clause
/*
 * The scan: four times a second it looks at the words of all slots that have a page or a stored
 * copy. It gives pages of freed slots back, drops copies that the guest has freed or written over,
 * counts how long contents have been resident, and repairs words that make no sense. The same
 * thread makes room when the budget is nearly used up.
 */
#include <string.h>
#include <time.h>

#include "swap/store/store_internal.h"
#include "util/clock.h"

#define RUN_MAX CHUNK_SLOTS

/* Consecutive slots whose words are OWNED and whose pages go together. */
struct run {
	uint32_t first;
	uint32_t count;
	unsigned punched;
};

static void run_end(struct swap_store *store, struct run *run)
{
	if (run->count && swap_punch_locked(store, run->first, run->count) == 0)
		run->punched += run->count;
	for (uint32_t i = 0; i < run->count; i++)
		swap_word_release_locked(store, run->first + i, SYM_SLOT_FREE);
	run->count = 0;
}

/* Adds a FREE slot, unless the guest was faster. */
static void run_add(struct swap_store *store, struct run *run, uint32_t slot)
{
	if (run->count && (run->first + run->count != slot || run->count == RUN_MAX))
		run_end(store, run);
	if (!swap_word_change(store, slot, SYM_SLOT_FREE, SYM_SLOT_OWNED))
		return;
	if (run->count == 0)
		run->first = slot;
	run->count++;
}

/*
 * Takes pages of FREE slots of one group and returns their number. @age: of slots FREE for so many
 * scans.
 */
static unsigned punch_free_group(struct swap_store *store, uint32_t group, unsigned age)
{
	uint32_t slot = group * GROUP_SLOTS, end = slot + GROUP_SLOTS;
	struct run run = {0};

	end = end < store->slot_count ? end : store->slot_count;
	swap_count(store, looked, end - slot);
	for (; slot < end; slot++) {
		const struct swap_slot *record = &store->slots[slot];
		bool old = age == 0 || ((record->flags & SLOT_SEEN_FREE) && record->age >= age);

		if ((record->flags & (SLOT_POPULATED | SLOT_BUSY)) == SLOT_POPULATED && old &&
		    swap_word(store, slot) == SYM_SLOT_FREE)
			run_add(store, &run, slot);
	}
	run_end(store, &run);
	swap_count(store, punched, run.punched);
	return run.punched;
}

unsigned swap_punch_free_locked(struct swap_store *store, unsigned most)
{
	unsigned punched = 0, looked = 0;

	/* A group that is skipped counts as one slot. */
	for (uint32_t seen = 0; seen < store->group_count && punched < most && looked < LOOK_SLOTS;
	     seen++) {
		uint32_t group = store->free_hand;

		store->free_hand = group + 1 < store->group_count ? group + 1 : 0;
		looked++;
		if (!store->groups[group].populated)
			continue;
		punched += punch_free_group(store, group, 0);
		looked += GROUP_SLOTS;
	}
	return punched;
}

static void slot_grow_old(struct swap_slot *record, bool is_free)
{
	bool was_free = record->flags & SLOT_SEEN_FREE;

	if (was_free != is_free) {
		record->age = 0;
		record->flags ^= SLOT_SEEN_FREE;
	}
	if (record->age < UINT8_MAX)
		record->age++;
}

/* Repairs a word that the rules do not allow: the guest harmed a slot of its own. */
static void repair_word(struct swap_store *store, uint32_t slot, uint32_t word, uint32_t to)
{
	if (swap_word_change(store, slot, word, to))
		swap_count(store, violations, 1);
}

static void scan_slot(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *record = &store->slots[slot];
	uint32_t word = swap_word(store, slot), state = SYM_SLOT_STATE(word);
	bool idle_page = (record->flags & (SLOT_POPULATED | SLOT_BUSY)) == SLOT_POPULATED;

	if (state < SWAP_STATES)
		store->counting[state]++;
	switch (state) {
	case SYM_SLOT_FREE:
		record->flags &= (uint8_t)~SLOT_INCOMPRESSIBLE;
		swap_copy_drop_locked(store, slot);
		slot_grow_old(record, true);
		break;
	case SYM_SLOT_WRITING:
		record->flags &= (uint8_t) ~(SLOT_INCOMPRESSIBLE | SLOT_SEEN_FREE);
		record->age = 0;
		swap_copy_drop_locked(store, slot);
		break;
	case SYM_SLOT_MAPPED:
		record->age = 0;
		swap_copy_drop_locked(store, slot);
		break;
	case SYM_SLOT_RESIDENT:
		swap_copy_drop_locked(store, slot);
		slot_grow_old(record, false);
		break;
	case SYM_SLOT_COPYING:
		if (!(record->flags & SLOT_BUSY))
			repair_word(store, slot, word, SYM_SLOT_RESIDENT);
		break;
	case SYM_SLOT_STORED:
		if (record->where == WHERE_NONE)
			repair_word(store, slot, word, SYM_SLOT_FAILED);
		else if (idle_page && swap_punch_dead_locked(store, slot, word))
			swap_count(store, punched, 1);
		break;
	case SYM_SLOT_FAILED:
		swap_copy_drop_locked(store, slot);
		if (idle_page && swap_punch_dead_locked(store, slot, word))
			swap_count(store, punched, 1);
		break;
	default: /* OWNED, but not by the VMM, which would hold the lock; or not a state at all */
		repair_word(store, slot, word, SYM_SLOT_FREE);
		break;
	}
}

/* Mapped slots are never taken. The guest is asked for as many as the budget lacks. */
static void revoke_update_locked(struct swap_store *store)
{
	uint64_t used = swap_used_locked(store), target = store->budget, wanted = 0;
	uint64_t mapped = store->states[SYM_SLOT_MAPPED];

	if (store->budget < store->slot_count && mapped) {
		target -= target < 3 * store->unit ? target : 3 * store->unit;
		wanted = used > target ? used - target : 0;
		wanted = wanted < mapped ? wanted : mapped;
	}
	__atomic_store_n(&store->header->revoke_wanted, wanted, __ATOMIC_RELAXED);
}

static void scan_all(struct swap_store *store)
{
	swap_lock(store);
	memset(store->counting, 0, sizeof(store->counting));
	for (uint32_t group = 0; group < store->group_count && !store->stopping; group++) {
		uint32_t slot = group * GROUP_SLOTS, end = slot + GROUP_SLOTS;

		if (!store->groups[group].populated && !store->groups[group].stored)
			continue;
		end = end < store->slot_count ? end : store->slot_count;
		for (; slot < end; slot++)
			if (store->slots[slot].flags || store->slots[slot].where != WHERE_NONE)
				scan_slot(store, slot);
		if (store->groups[group].populated)
			punch_free_group(store, group, FREE_SCANS);
		swap_lock_pass(store);
	}
	for (unsigned state = 0; state < SWAP_STATES; state++)
		store->states[state] = store->counting[state];
	swap_pressure_update_locked(store);
	swap_unlock(store);
}

static bool room_enough_locked(const struct swap_store *store)
{
	return store->stopping || store->budget >= store->slot_count ||
	       swap_room_locked(store) >= 4 * store->unit;
}

static bool room_enough(struct swap_store *store)
{
	bool enough;

	swap_lock(store);
	enough = room_enough_locked(store);
	swap_unlock(store);
	return enough;
}

/* Asks the spill threads to do the rest. */
static void writeback_request(struct swap_store *store)
{
	swap_lock(store);
	if (store->spill && !store->stopping) {
		store->spill_wanted = true;
		pthread_cond_broadcast(&store->io);
	}
	swap_unlock(store);
}

static void punch_free_all(struct swap_store *store)
{
	unsigned looks = swap_looks(store);

	swap_lock(store);
	while (looks-- && !store->stopping && swap_room_locked(store) < 4 * store->unit) {
		swap_punch_free_locked(store, (unsigned)(4 * store->unit));
		swap_pressure_update_locked(store);
		pthread_cond_broadcast(&store->room);
		swap_lock_pass(store);
	}
	swap_unlock(store);
}

/* Moves slots out until there is enough room, or until none of all slots could go. */
static void evict_all(struct swap_store *store, struct swap_evictor *evictor, unsigned age)
{
	unsigned looks = swap_looks(store);

	for (unsigned left = looks; left && !room_enough(store); left--)
		if (swap_evict(store, evictor, age, BATCH_SLOTS))
			left = looks + 1;
}

/*
 * Makes room until four units are free or nothing more can be done: first pages of freed slots,
 * then cold contents, then any contents, then the spill store.
 */
static void make_room(struct swap_store *store, struct swap_evictor *evictor)
{
	punch_free_all(store);
	evict_all(store, evictor, COLD_SCANS);
	evict_all(store, evictor, 0);
	if (!room_enough(store))
		writeback_request(store);
	swap_lock(store);
	revoke_update_locked(store);
	store->room_wanted = false;
	/* If so, the next try waits for the next scan. */
	store->in_vain = !room_enough_locked(store);
	pthread_cond_broadcast(&store->room);
	swap_unlock(store);
}

static void in_vain_set(struct swap_store *store, bool in_vain)
{
	swap_lock(store);
	store->in_vain = in_vain;
	swap_unlock(store);
}

/* Waits until the next scan is due or room is wanted. Returns true if the scan is due. */
static bool wait_for_work(struct swap_store *store, uint64_t next_scan, bool tried)
{
	const struct timespec until = clock_timespec(next_scan);

	while (!store->stopping && (!store->room_wanted || tried) && clock_now_ns() < next_scan)
		pthread_cond_clockwait(&store->work, &store->lock, CLOCK_MONOTONIC, &until);
	return clock_now_ns() >= next_scan;
}

void *swap_scan_thread(void *opaque)
{
	struct swap_store *store = opaque;
	struct swap_evictor *evictor = swap_evictor_create(&store->codec);
	uint64_t next_scan = clock_now_ns() + SCAN_MS * NS_PER_MS;

	if (!swap_thread_enter(store, "swap-scan", evictor)) {
		swap_evictor_destroy(evictor);
		return NULL;
	}
	swap_lock(store);
	while (!store->stopping) {
		bool due = wait_for_work(store, next_scan, store->in_vain);
		bool wanted = store->room_wanted;

		swap_unlock(store);
		if (due) {
			scan_all(store);
			next_scan = clock_now_ns() + SCAN_MS * NS_PER_MS;
			in_vain_set(store, false);
		}
		if (wanted)
			make_room(store, evictor);
		swap_lock(store);
		revoke_update_locked(store);
	}
	swap_unlock(store);
	swap_evictor_destroy(evictor);
	return NULL;
}
