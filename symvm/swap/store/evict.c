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
static bool claim_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *what = &store->slots[slot];

	if ((what->flags & (SLOT_POPULATED | SLOT_BUSY | SLOT_INCOMPRESSIBLE)) != SLOT_POPULATED)
		return false;
	/* The word counts readers: this fails if there is one. */
	if (!swap_word_change(store, slot, SYM_SLOT_RESIDENT, SYM_SLOT_COPYING))
		return false;
	/* A stored copy next to resident contents is an old one. */
	swap_copy_drop_locked(store, slot);
	what->flags |= SLOT_BUSY;
	return true;
}

static void pick_locked(struct swap_store *store, struct swap_mover *mover, unsigned age,
			unsigned most)
{
	unsigned looked = 0;

	mover->count = 0;
	for (uint32_t seen = 0;
	     seen < store->slot_count && looked < LOOK_SLOTS && mover->count < most; seen++) {
		uint32_t slot = store->hand;

		looked++;
		if (slot % GROUP_SLOTS == 0 && !store->groups[slot / GROUP_SLOTS].populated) {
			seen += GROUP_SLOTS - 1;
			store->hand = slot + GROUP_SLOTS < store->slot_count ? slot + GROUP_SLOTS
									     : 0;
			continue;
		}
		store->hand = slot + 1 < store->slot_count ? slot + 1 : 0;
		if (store->slots[slot].age >= age && claim_locked(store, slot))
			mover->slots[mover->count++] = slot;
	}
	swap_count(store, looked, looked);
}

/* Fills entry @i of the mover from the slot's page. */
static void pack(struct swap_store *store, struct swap_mover *mover, unsigned i)
{
	mover->lengths[i] = SLOT_SIZE;
	if (page_read(store, mover->slots[i], mover->page) < 0)
		return;
	if (is_filled(mover->page, &mover->fills[i])) {
		mover->lengths[i] = 0;
		return;
	}
	mover->lengths[i] = (uint32_t)swap_codec_compress(mover->codec, mover->page, SLOT_SIZE,
							  mover->out[i], ARENA_OBJECT_MAX);
	if (mover->lengths[i] == 0)
		mover->lengths[i] = SLOT_SIZE;
}

/* Takes the slot for good if the guest left it alone, and stores its copy. */
static bool commit_locked(struct swap_store *store, struct swap_mover *mover, unsigned i)
{
	uint32_t slot = mover->slots[i], length = mover->lengths[i], handle = ARENA_NONE;
	struct swap_slot *what = &store->slots[slot];

	what->flags &= (uint8_t)~SLOT_BUSY;
	if (length == SLOT_SIZE) {
		what->flags |= SLOT_INCOMPRESSIBLE;
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
	if (!(what->flags & SLOT_POPULATED) ||
	    !swap_word_change(store, slot, SYM_SLOT_COPYING, SYM_SLOT_OWNED)) {
		if (handle != ARENA_NONE)
			arena_free(store->arena, handle);
		return false;
	}
	if (length)
		memcpy(arena_data(store->arena, handle), mover->out[i], length);
	swap_copy_set_locked(store, slot, length ? WHERE_COMPRESSED : WHERE_FILLED,
			     length ? handle : mover->fills[i], length);
	return true;
}

/* Sets the state that the guest sees. @gone: the page went; otherwise it could not go. */
static void finish_locked(struct swap_store *store, uint32_t slot, bool gone)
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

void swap_leave_locked(struct swap_store *store, const uint32_t *slots, unsigned count)
{
	for (unsigned i = 0, run; i < count; i += run) {
		bool gone;

		for (run = 1; i + run < count && slots[i + run] == slots[i] + run; run++)
			;
		gone = swap_punch_locked(store, slots[i], run) == 0;
		for (unsigned j = i; j < i + run; j++)
			finish_locked(store, slots[j], gone);
	}
	swap_pressure_update_locked(store);
}

static unsigned commit_all_locked(struct swap_store *store, struct swap_mover *mover)
{
	unsigned count = 0;

	for (unsigned i = 0; i < mover->count; i++)
		if (commit_locked(store, mover, i))
			mover->slots[count++] = mover->slots[i];
	swap_leave_locked(store, mover->slots, count);
	return count;
}

unsigned swap_move_out(struct swap_store *store, struct swap_mover *mover, unsigned age,
		       unsigned most)
{
	unsigned count;

	swap_lock(store);
	pick_locked(store, mover, age, most < BATCH_SLOTS ? most : BATCH_SLOTS);
	swap_unlock(store);
	if (mover->count == 0)
		return 0;
	for (unsigned i = 0; i < mover->count; i++)
		pack(store, mover, i);
	swap_lock(store);
	count = commit_all_locked(store, mover);
	pthread_cond_broadcast(&store->room);
	swap_unlock(store);
	return count;
}

bool swap_move_out_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_mover *mover = store->mover;

	if (!claim_locked(store, slot))
		return false;
	mover->count = 1;
	mover->slots[0] = slot;
	pack(store, mover, 0);
	return commit_all_locked(store, mover) == 1;
}

int swap_expand_locked(struct swap_store *store, uint32_t slot, void *page)
{
	const struct swap_slot *what = &store->slots[slot];

	switch (what->where) {
	case WHERE_FILLED:
		for (size_t i = 0; i < SLOT_SIZE / sizeof(uint64_t); i++)
			memcpy((uint64_t *)page + i, &what->value, sizeof(uint64_t));
		return 0;
	case WHERE_COMPRESSED:
		return swap_codec_expand(store->mover->codec,
					 arena_data(store->arena, (uint32_t)what->value),
					 what->length, page, SLOT_SIZE);
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

int swap_move_in_locked(struct swap_store *store, uint32_t slot, const void *page)
{
	int status;

	if (store->slots[slot].flags & SLOT_BUSY)
		return 0;
	if (!page) {
		page = store->mover->page;
		if (swap_expand_locked(store, slot, store->mover->page) < 0) {
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
