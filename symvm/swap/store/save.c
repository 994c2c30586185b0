// SPDX-License-Identifier: BSD-2-Clause
/*
 * Saving and loading. The saved form does not say where contents were stored: all slots with
 * contents are saved as if they were in the window. The loading store decides where to put them.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "swap/store/store_internal.h"
#include "util/serialize.h"

static int contents_get(struct swap_store *store, uint32_t slot, uint32_t state, uint8_t *page)
{
	if (state != SYM_SLOT_STORED)
		return pread(store->fd, page, SLOT_SIZE, (off_t)swap_slot_offset(store, slot)) ==
				       SLOT_SIZE
			       ? 0
			       : -EIO;
	if (store->slots[slot].where == WHERE_SPILLED)
		return swap_spill_read_locked(store, slot, page);
	return swap_copy_expand_locked(store, slot, page);
}

static void slot_save(struct swap_store *store, uint32_t slot, struct serialize_writer *writer,
		      uint8_t *page)
{
	uint32_t state = SYM_SLOT_STATE(swap_word(store, slot));

	if (state == SYM_SLOT_FREE || state > SYM_SLOT_FAILED)
		return;
	if (state == SYM_SLOT_FAILED || contents_get(store, slot, state, page) < 0)
		state = SYM_SLOT_FAILED;
	else if (state != SYM_SLOT_MAPPED && state != SYM_SLOT_WRITING)
		state = SYM_SLOT_RESIDENT;
	serialize_put_u32(writer, slot);
	serialize_put_u32(writer, state);
	if (state != SYM_SLOT_FAILED)
		serialize_put_bytes(writer, page, SLOT_SIZE);
}

int swap_store_save(struct swap_store *store, struct serialize_writer *writer)
{
	uint8_t *page = aligned_alloc(SPILL_BLOCK, SLOT_SIZE);

	if (!page)
		return -ENOMEM;
	swap_lock(store);
	serialize_put_u32(writer, store->slot_count);
	serialize_put_u64(writer, store->header->mapped);
	for (uint32_t slot = 0; slot < store->slot_count && writer->status == 0; slot++) {
		const struct swap_group *group = &store->groups[slot / GROUP_SLOTS];

		if (group->populated || group->stored)
			slot_save(store, slot, writer, page);
	}
	serialize_put_u32(writer, NO_SLOT);
	swap_unlock(store);
	free(page);
	return writer->status;
}

/* Makes room for the slots that follow. Releases the lock meanwhile. */
static void load_make_room(struct swap_store *store)
{
	unsigned moved = 1;

	while (moved && store->budget < store->slot_count &&
	       swap_room_locked(store) < 4 * store->unit) {
		swap_unlock(store);
		pthread_mutex_lock(&store->sync_lock);
		moved = swap_evict(store, store->sync_evictor, 0, BATCH_SLOTS);
		pthread_mutex_unlock(&store->sync_lock);
		swap_lock(store);
	}
}

static int slot_load(struct swap_store *store, uint32_t slot, uint32_t state, const uint8_t *page)
{
	int status = 0;

	if (state == SYM_SLOT_FAILED) {
		__atomic_store_n(&store->words[slot], state, __ATOMIC_RELEASE);
		return 0;
	}
	load_make_room(store);
	if (swap_used_locked(store) >= store->ceiling + GROWTH_PAGES)
		return -ENOSPC;
	status = swap_page_write_locked(store, slot, page);
	__atomic_store_n(&store->words[slot], state, __ATOMIC_RELEASE);
	return status;
}

int swap_store_load(struct swap_store *store, struct serialize_reader *reader)
{
	uint8_t page[SLOT_SIZE];
	uint32_t slot, state;
	int status = 0;

	swap_store_reset(store);
	if (serialize_get_u32(reader) != store->slot_count)
		return -EINVAL;
	swap_lock(store);
	store->header->mapped = serialize_get_u64(reader);
	while (status == 0 && reader->status == 0 &&
	       (slot = serialize_get_u32(reader)) != NO_SLOT) {
		state = serialize_get_u32(reader);
		if (slot >= store->slot_count || SYM_SLOT_STATE(swap_word(store, slot)) ||
		    (state != SYM_SLOT_WRITING && state != SYM_SLOT_RESIDENT &&
		     state != SYM_SLOT_MAPPED && state != SYM_SLOT_FAILED)) {
			status = -EINVAL;
			break;
		}
		if (state != SYM_SLOT_FAILED)
			serialize_get_bytes(reader, page, SLOT_SIZE);
		if (reader->status == 0)
			status = slot_load(store, slot, state, page);
	}
	swap_pressure_update_locked(store);
	swap_unlock(store);
	return status < 0 ? status : reader->status;
}
