// SPDX-License-Identifier: BSD-2-Clause
/*
 * The spill threads. They read back slots that the guest asked for. They write out what memory has
 * no room for: contents that do not compress, straight from the window, and compressed ones. A slot
 * has at most one transfer under way (SLOT_IO). If its contents die meanwhile (SLOT_STALE), the
 * result is dropped. A slot that cannot be read loses its contents; one that cannot be written
 * stays where it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "swap/store/store_internal.h"
#include "util/clock.h"

#define PICK_LOOKS 4u /* looks for incompressible slots, before compressed ones */

static uint64_t block_checksum(uint32_t slot, const void *data, size_t length)
{
	/* Seeded by the slot, so that another slot's block does not match. */
	return XXH3_64bits_withSeed(data, length, slot);
}

void swap_fetch_queue_locked(struct swap_store *store, uint32_t slot)
{
	if (store->slots[slot].flags & SLOT_IO)
		return;
	for (unsigned i = 0; i < store->fetch_count; i++)
		if (store->fetch_queue[i] == slot)
			return;
	/* If the queue is full, the guest rings again. */
	if (store->fetch_count == FETCH_QUEUE)
		return;
	store->fetch_queue[store->fetch_count++] = slot;
	pthread_cond_signal(&store->io);
}

static uint32_t fetch_next_locked(struct swap_store *store)
{
	uint32_t slot;

	if (store->fetch_count == 0)
		return NO_SLOT;
	slot = store->fetch_queue[0];
	memmove(store->fetch_queue, store->fetch_queue + 1,
		--store->fetch_count * sizeof(store->fetch_queue[0]));
	return slot;
}

/* Ends the I/O of a slot; false: its contents died meanwhile. */
static bool io_end_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *record = &store->slots[slot];
	bool stale = record->flags & SLOT_STALE;

	record->flags &= (uint8_t) ~(SLOT_IO | SLOT_STALE);
	return !stale;
}

/*
 * Notes the end of a transfer. A full disk or a dead server fails every transfer: the log gets one
 * line when that begins, and one when it ends.
 */
static void transfer_ended_locked(struct swap_store *store, const char *action, const char *outcome,
				  bool *failing, int status)
{
	if (status < 0)
		swap_count(store, spill_errors, 1);
	if ((status < 0) == *failing || store->stopping)
		return;
	*failing = status < 0;
	if (status < 0)
		log_error(store->log, "swap%u: spill store: cannot %s: %s; %s", store->config.index,
			  action, strerror(-status), outcome);
	else
		log_warn(store->log, "swap%u: spill store: can %s again", store->config.index,
			 action);
}

static void read_ended_locked(struct swap_store *store, int status)
{
	transfer_ended_locked(store, "read", "slots that the guest asks for are lost",
			      &store->reads_fail, status);
}

/* Slots that cannot be written stay where they are: nothing is lost. */
static void write_ended_locked(struct swap_store *store, int status)
{
	transfer_ended_locked(store, "write", "swapped pages stay in memory, within the budget",
			      &store->writes_fail, status);
}

/* Checks and expands the data that was read; NULL: it differs from the data that was written. */
static const void *fetch_expand(struct swap_store *store, const struct swap_slot *record,
				uint32_t slot, const void *data, struct swap_evictor *evictor)
{
	if (block_checksum(slot, data, record->length) != record->value) {
		swap_count(store, spill_mismatches, 1);
		log_limited(store->log, LOG_LEVEL_ERROR,
			    "swap%u: spill store: slot %u came back changed", store->config.index,
			    slot);
		return NULL;
	}
	if (record->length == SLOT_SIZE)
		return data;
	return swap_codec_expand(evictor->codec, data, record->length, evictor->page, SLOT_SIZE) ==
			       0
		       ? evictor->page
		       : NULL;
}

/*
 * How many slots from @first on are read together: spilled neighbours, if there is ample room.
 * Marks them IO.
 */
static unsigned fetch_claim_locked(struct swap_store *store, uint32_t first)
{
	uint64_t room = swap_room_locked(store), spare = 3 * store->unit;
	unsigned most = room > spare + FETCH_AHEAD ? FETCH_AHEAD + 1 : 1, count = 0;

	for (; count < most && first + count < store->slot_count; count++) {
		struct swap_slot *record = &store->slots[first + count];

		if (record->where != WHERE_SPILLED || (record->flags & SLOT_IO) ||
		    SYM_SLOT_STATE(swap_word(store, first + count)) != SYM_SLOT_STORED)
			break;
		record->flags |= SLOT_IO;
	}
	return count;
}

/* Puts the data read for one slot back into the window; @data NULL: it could not be read. */
static void fetch_finish_locked(struct swap_store *store, struct swap_evictor *evictor,
				uint32_t slot, const void *data)
{
	struct swap_slot was = store->slots[slot];
	const void *page;

	/* The contents died or were written over: the data may be anything. */
	if (!io_end_locked(store, slot) || was.where != WHERE_SPILLED)
		return;
	page = data ? fetch_expand(store, &was, slot, data, evictor) : NULL;
	if (!page)
		swap_slot_fail_locked(store, slot, SYM_SLOT_STORED);
	else if (swap_room_locked(store) || swap_used_locked(store) < store->ceiling + GROWTH_PAGES)
		/* Without room it stays where it is, and the guest asks again. */
		swap_slot_restore_locked(store, slot, page);
}

/* Reads a spilled slot back, perhaps with its neighbours. Called with the lock, returns with it. */
static void fetch_slots(struct swap_store *store, struct swap_evictor *evictor, unsigned lane,
			uint32_t slot, uint8_t *data)
{
	unsigned count = fetch_claim_locked(store, slot), good;
	uint64_t begun;
	int status;

	if (count == 0)
		return;
	swap_unlock(store);
	begun = clock_now_ns();
	status = store->spill->ops->read(store->spill, lane, slot, data, count);
	good = status < 0 ? 0 : count;
	/* The error may be a neighbour's. */
	if (status < 0 && count > 1) {
		status = store->spill->ops->read(store->spill, lane, slot, data, 1);
		good = status < 0 ? 0 : 1;
	}
	swap_lock(store);
	read_ended_locked(store, status);
	swap_count(store, spill_reads, good);
	swap_count(store, fetch_ns, clock_now_ns() - begun);
	for (unsigned i = 0; i < count; i++) {
		if (i < good || i == 0)
			fetch_finish_locked(store, evictor, slot + i,
					    i < good ? data + (size_t)i * SPILL_BLOCK : NULL);
		else
			io_end_locked(store, slot + i);
	}
}

int swap_spill_read_locked(struct swap_store *store, uint32_t slot, void *page)
{
	const struct swap_slot *record = &store->slots[slot];
	int status = store->spill->ops->read(store->spill, 0, slot, page, 1);
	const void *contents = status < 0 ? NULL
					  : fetch_expand(store, record, slot, page, store->evictor);

	if (!contents)
		return -EIO;
	if (contents != page)
		memcpy(page, contents, SLOT_SIZE);
	return 0;
}

/* A compressed slot to write out, from the oldest slab. */
static uint32_t compressed_pick_locked(struct swap_store *store)
{
	for (unsigned skip = 0; skip < 2 * SPILL_LANES + 1; skip++) {
		uint32_t slot = arena_oldest(store->arena, skip);

		if (slot == ARENA_NONE)
			return NO_SLOT;
		if (!(store->slots[slot].flags & SLOT_IO))
			return slot;
	}
	return NO_SLOT;
}

/* Claims a resident slot that compression does not help. */
static bool resident_claim_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *record = &store->slots[slot];

	if ((record->flags & (SLOT_POPULATED | SLOT_BUSY | SLOT_INCOMPRESSIBLE | SLOT_IO)) !=
		    (SLOT_POPULATED | SLOT_INCOMPRESSIBLE) ||
	    !swap_word_change(store, slot, SYM_SLOT_RESIDENT, SYM_SLOT_COPYING))
		return false;
	swap_copy_drop_locked(store, slot);
	record->flags |= SLOT_BUSY | SLOT_IO;
	return true;
}

/* Claims up to SPILL_RUN neighbours from *@first on. Returns their number. */
static unsigned resident_pick_locked(struct swap_store *store, uint32_t *first)
{
	uint32_t slot = store->spill_hand;
	unsigned count = 0;

	for (uint32_t seen = 0; seen < LOOK_SLOTS && seen < store->slot_count && !count; seen++) {
		if (slot % GROUP_SLOTS == 0 && !store->groups[slot / GROUP_SLOTS].populated) {
			slot = slot + GROUP_SLOTS < store->slot_count ? slot + GROUP_SLOTS : 0;
			continue;
		}
		*first = slot;
		while (count < SPILL_RUN && slot < store->slot_count &&
		       resident_claim_locked(store, slot)) {
			count++;
			slot++;
		}
		if (!count)
			slot++;
		if (slot >= store->slot_count)
			slot = 0;
	}
	store->spill_hand = slot;
	return count;
}

/* Up to @looks such looks, with the lock released in between. */
static unsigned resident_find_locked(struct swap_store *store, unsigned looks, uint32_t *first)
{
	unsigned count = 0, all = swap_looks(store);

	looks = looks < all ? looks : all;
	while (looks-- && !store->stopping && !store->fetch_count) {
		count = resident_pick_locked(store, first);
		if (count)
			break;
		swap_lock_pass(store);
	}
	return count;
}

/* Called with the lock, returns with it. */
static void write_compressed(struct swap_store *store, unsigned lane, uint32_t slot, void *data)
{
	struct swap_slot *record = &store->slots[slot];
	size_t length = record->length;
	uint64_t sum;
	int status;

	memcpy(data, arena_data(store->arena, (uint32_t)record->value), length);
	record->flags |= SLOT_IO;
	swap_unlock(store);
	sum = block_checksum(slot, data, length);
	status = store->spill->ops->write(store->spill, lane, slot, data, 1);
	swap_lock(store);
	write_ended_locked(store, status);
	if (!io_end_locked(store, slot) || status < 0)
		return; /* it stays in memory */
	swap_copy_drop_locked(store, slot);
	swap_copy_set_locked(store, slot, WHERE_SPILLED, sum, (uint32_t)length);
	swap_count(store, spilled, 1);
}

/* Ends the copying of one slot. True: the slot leaves the window. */
static bool write_finish_locked(struct swap_store *store, uint32_t slot, bool good, uint64_t sum)
{
	struct swap_slot *record = &store->slots[slot];

	io_end_locked(store, slot);
	record->flags &= (uint8_t)~SLOT_BUSY;
	/* Not populated: a reset came between. */
	if (!good || !(record->flags & SLOT_POPULATED)) {
		swap_word_change(store, slot, SYM_SLOT_COPYING, SYM_SLOT_RESIDENT);
		return false;
	}
	if (!swap_word_change(store, slot, SYM_SLOT_COPYING, SYM_SLOT_OWNED))
		return false;
	swap_copy_set_locked(store, slot, WHERE_SPILLED, sum, SLOT_SIZE);
	return true;
}

/* The same for neighbours that were claimed in the window. */
static void write_resident(struct swap_store *store, unsigned lane, uint32_t first, unsigned count,
			   uint8_t *data)
{
	uint32_t slots[SPILL_RUN];
	uint64_t sums[SPILL_RUN];
	ssize_t length = (ssize_t)count * SLOT_SIZE;
	unsigned gone = 0;
	int status = 0;

	swap_unlock(store);
	if (pread(store->fd, data, (size_t)length, (off_t)swap_slot_offset(store, first)) != length)
		status = -EIO;
	for (unsigned i = 0; i < count && status == 0; i++)
		sums[i] = block_checksum(first + i, data + (size_t)i * SLOT_SIZE, SLOT_SIZE);
	if (status == 0)
		status = store->spill->ops->write(store->spill, lane, first, data, count);
	swap_lock(store);
	write_ended_locked(store, status);
	for (unsigned i = 0; i < count; i++)
		if (write_finish_locked(store, first + i, status == 0, status == 0 ? sums[i] : 0))
			slots[gone++] = first + i;
	swap_evict_finish_locked(store, slots, gone);
}

/*
 * Writes something out. False: there is nothing to write, or an error. Then the thread stops for
 * now instead of retrying forever.
 */
static bool writeback_some_locked(struct swap_store *store, unsigned lane, void *data)
{
	uint64_t errors = store->counters.spill_errors;
	uint32_t first, slot = NO_SLOT;
	unsigned count = resident_find_locked(store, PICK_LOOKS, &first);

	if (!count)
		slot = compressed_pick_locked(store);
	if (!count && slot == NO_SLOT)
		count = resident_find_locked(store, swap_looks(store), &first);
	if (!count && slot == NO_SLOT)
		return false;
	if (count)
		write_resident(store, lane, first, count, data);
	else
		write_compressed(store, lane, slot, data);
	swap_pressure_update_locked(store);
	pthread_cond_broadcast(&store->room);
	return errors == store->counters.spill_errors;
}

void *swap_writeback_thread(void *opaque)
{
	struct swap_store *store = opaque;
	struct swap_evictor *evictor = swap_evictor_create(&store->codec);
	uint8_t *data = aligned_alloc(SPILL_BLOCK, (size_t)SPILL_RUN * SPILL_BLOCK);
	unsigned lane;

	if (!swap_thread_enter(store, "swap-spill", evictor && data)) {
		swap_evictor_destroy(evictor);
		free(data);
		return NULL;
	}
	swap_lock(store);
	lane = store->io_active++;
	while (!store->stopping) {
		uint32_t slot = fetch_next_locked(store);

		if (slot != NO_SLOT)
			fetch_slots(store, evictor, lane, slot, data);
		else if (!store->spill_wanted || !writeback_some_locked(store, lane, data)) {
			store->spill_wanted = false;
			if (!store->fetch_count && !store->stopping)
				pthread_cond_wait(&store->io, &store->lock);
		}
	}
	swap_unlock(store);
	swap_evictor_destroy(evictor);
	free(data);
	return NULL;
}
