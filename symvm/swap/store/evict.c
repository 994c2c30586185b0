// SPDX-License-Identifier: BSD-2-Clause
/*
 * Moves contents out of the window into the VMM's own memory, and back. The guest may take a
 * COPYING slot back at any time. Once its word has changed from COPYING to OWNED, the copy counts
 * and the page goes.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "swap/store/store_internal.h"

static int page_read(const struct swap_store *store, uint32_t slot, void *page)
{
	ssize_t got = pread(store->fd, page, SLOT_SIZE, (off_t)swap_slot_offset(store, slot));

	return got == SLOT_SIZE ? 0 : -EIO;
}

static bool is_filled(const void *page, uint64_t *fill)
{
	const uint64_t *words = page;

	*fill = words[0];
	/* True if each word equals the next one. */
	return memcmp(words, words + 1, SLOT_SIZE - sizeof(*words)) == 0;
}

/* Claims one slot for copying. */
static bool victim_claim_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *record = &store->slots[slot];

	if ((record->flags & (SLOT_POPULATED | SLOT_BUSY | SLOT_INCOMPRESSIBLE)) != SLOT_POPULATED)
		return false;
	/* The word counts readers: this fails if there is one. */
	if (!swap_word_change(store, slot, SYM_SLOT_RESIDENT, SYM_SLOT_COPYING))
		return false;
	/* A stored copy next to resident contents is an old one. */
	swap_copy_drop_locked(store, slot);
	record->flags |= SLOT_BUSY;
	return true;
}

static void victims_pick_locked(struct swap_store *store, struct swap_evictor *evictor,
				unsigned age, unsigned most)
{
	unsigned looked = 0;

	evictor->count = 0;
	for (uint32_t seen = 0;
	     seen < store->slot_count && looked < LOOK_SLOTS && evictor->count < most; seen++) {
		uint32_t slot = store->hand;

		looked++;
		if (slot % GROUP_SLOTS == 0 && !store->groups[slot / GROUP_SLOTS].populated) {
			seen += GROUP_SLOTS - 1;
			store->hand = slot + GROUP_SLOTS < store->slot_count ? slot + GROUP_SLOTS
									     : 0;
			continue;
		}
		store->hand = slot + 1 < store->slot_count ? slot + 1 : 0;
		if (store->slots[slot].age >= age && victim_claim_locked(store, slot))
			evictor->slots[evictor->count++] = slot;
	}
	swap_count(store, looked, looked);
}

/* Fills entry @i of the evictor from the slot's page. */
static void victim_pack(struct swap_store *store, struct swap_evictor *evictor, unsigned i)
{
	evictor->lengths[i] = SLOT_SIZE;
	if (page_read(store, evictor->slots[i], evictor->page) < 0)
		return;
	if (is_filled(evictor->page, &evictor->fills[i])) {
		evictor->lengths[i] = 0;
		return;
	}
	evictor->lengths[i] = (uint32_t)swap_codec_compress(
		evictor->codec, evictor->page, SLOT_SIZE, evictor->out[i], ARENA_OBJECT_MAX);
	if (evictor->lengths[i] == 0)
		evictor->lengths[i] = SLOT_SIZE;
}

/* Takes the slot for good if the guest left it alone, and stores its copy. */
static bool victim_commit_locked(struct swap_store *store, struct swap_evictor *evictor, unsigned i)
{
	uint32_t slot = evictor->slots[i], length = evictor->lengths[i], handle = ARENA_NONE;
	struct swap_slot *record = &store->slots[slot];

	record->flags &= (uint8_t)~SLOT_BUSY;
	if (length == SLOT_SIZE) {
		record->flags |= SLOT_INCOMPRESSIBLE;
		swap_count(store, incompressible, 1);
	} else if (length) {
		bool may_grow = swap_used_locked(store) + ARENA_SLAB_PAGES <=
				store->ceiling + GROWTH_PAGES;

		handle = arena_alloc(store->arena, length, slot, may_grow);
	}
	if (length && handle == ARENA_NONE) {
		swap_word_change(store, slot, SYM_SLOT_COPYING, SYM_SLOT_RESIDENT);
		return false;
	}
	/* Not populated: a reset came between. */
	if (!(record->flags & SLOT_POPULATED) ||
	    !swap_word_change(store, slot, SYM_SLOT_COPYING, SYM_SLOT_OWNED)) {
		if (handle != ARENA_NONE)
			arena_free(store->arena, handle);
		return false;
	}
	if (length)
		memcpy(arena_data(store->arena, handle), evictor->out[i], length);
	swap_copy_set_locked(store, slot, length ? WHERE_COMPRESSED : WHERE_FILLED,
			     length ? handle : evictor->fills[i], length);
	return true;
}

/* Sets the state that the guest sees. @gone: the page went; otherwise it could not go. */
static void slot_release_locked(struct swap_store *store, uint32_t slot, bool gone)
{
	uint32_t state = swap_word_release_locked(store, slot,
						  gone ? SYM_SLOT_STORED : SYM_SLOT_RESIDENT);

	if (state != SYM_SLOT_STORED) {
		swap_copy_drop_locked(store, slot);
		return;
	}
	if (store->slots[slot].where == WHERE_SPILLED)
		swap_count(store, spilled, 1);
	else if (store->slots[slot].where == WHERE_FILLED)
		swap_count(store, filled, 1);
	else
		swap_count(store, compressed, 1);
}

void swap_evict_finish_locked(struct swap_store *store, const uint32_t *slots, unsigned count)
{
	for (unsigned i = 0, run; i < count; i += run) {
		bool gone;

		for (run = 1; i + run < count && slots[i + run] == slots[i] + run; run++)
			;
		gone = swap_punch_locked(store, slots[i], run) == 0;
		for (unsigned j = i; j < i + run; j++)
			slot_release_locked(store, slots[j], gone);
	}
	swap_pressure_update_locked(store);
}

static unsigned victims_commit_locked(struct swap_store *store, struct swap_evictor *evictor)
{
	unsigned count = 0;

	for (unsigned i = 0; i < evictor->count; i++)
		if (victim_commit_locked(store, evictor, i))
			evictor->slots[count++] = evictor->slots[i];
	swap_evict_finish_locked(store, evictor->slots, count);
	return count;
}

unsigned swap_evict(struct swap_store *store, struct swap_evictor *evictor, unsigned age,
		    unsigned most)
{
	unsigned count;

	swap_lock(store);
	victims_pick_locked(store, evictor, age, most < BATCH_SLOTS ? most : BATCH_SLOTS);
	swap_unlock(store);
	if (evictor->count == 0)
		return 0;
	for (unsigned i = 0; i < evictor->count; i++)
		victim_pack(store, evictor, i);
	swap_lock(store);
	count = victims_commit_locked(store, evictor);
	pthread_cond_broadcast(&store->room);
	swap_unlock(store);
	return count;
}

bool swap_evict_slot_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_evictor *evictor = store->evictor;

	if (!victim_claim_locked(store, slot))
		return false;
	evictor->count = 1;
	evictor->slots[0] = slot;
	victim_pack(store, evictor, 0);
	return victims_commit_locked(store, evictor) == 1;
}

int swap_copy_expand_locked(struct swap_store *store, uint32_t slot, void *page)
{
	const struct swap_slot *record = &store->slots[slot];

	switch (record->where) {
	case WHERE_FILLED:
		for (size_t i = 0; i < SLOT_SIZE / sizeof(uint64_t); i++)
			memcpy((uint64_t *)page + i, &record->value, sizeof(uint64_t));
		return 0;
	case WHERE_COMPRESSED:
		return swap_codec_expand(store->evictor->codec,
					 arena_data(store->arena, (uint32_t)record->value),
					 record->length, page, SLOT_SIZE);
	default:
		return -EIO;
	}
}

void swap_slot_fail_locked(struct swap_store *store, uint32_t slot, uint32_t state)
{
	swap_copy_drop_locked(store, slot);
	if (swap_word_change(store, slot, state, SYM_SLOT_OWNED) &&
	    swap_word_release_locked(store, slot, SYM_SLOT_FAILED) == SYM_SLOT_FAILED)
		swap_count(store, failed, 1);
}

int swap_page_write_locked(struct swap_store *store, uint32_t slot, const void *page)
{
	ssize_t put;
	int status = 0;

	if (!(store->slots[slot].flags & SLOT_POPULATED))
		status = swap_populate_locked(store, slot, 1);
	if (status < 0)
		return status;
	do {
		put = pwrite(store->fd, page, SLOT_SIZE, (off_t)swap_slot_offset(store, slot));
	} while (put < 0 && errno == EINTR);
	return put == SLOT_SIZE ? 0 : -ENOMEM;
}

int swap_slot_restore_locked(struct swap_store *store, uint32_t slot, const void *page)
{
	int status;

	if (store->slots[slot].flags & SLOT_BUSY)
		return 0;
	if (!page) {
		page = store->evictor->page;
		if (swap_copy_expand_locked(store, slot, store->evictor->page) < 0) {
			swap_slot_fail_locked(store, slot, SYM_SLOT_STORED);
			return -EIO;
		}
	}
	if (!swap_word_change(store, slot, SYM_SLOT_STORED, SYM_SLOT_OWNED))
		return 0;
	status = swap_page_write_locked(store, slot, page);
	if (swap_word_release_locked(store, slot,
				     status < 0 ? SYM_SLOT_STORED : SYM_SLOT_RESIDENT) !=
	    SYM_SLOT_STORED) {
		swap_copy_drop_locked(store, slot);
		store->slots[slot].age = 0;
		swap_count(store, fetched, 1);
	}
	swap_pressure_update_locked(store);
	return status;
}
