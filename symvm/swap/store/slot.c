// SPDX-License-Identifier: BSD-2-Clause
/*
 * The store's record of one slot: where its contents are stored outside of the window, and the end
 * of the VMM's ownership of its word.
 */
#include "swap/store/store_internal.h"

uint32_t swap_word_release_locked(struct swap_store *store, uint32_t slot, uint32_t state)
{
	uint32_t word = swap_word(store, slot);

	while (SYM_SLOT_STATE(word) == SYM_SLOT_OWNED) {
		uint32_t next = word & SYM_SLOT_DISCARD ? SYM_SLOT_FREE : state;

		if (swap_word_change(store, slot, word, next))
			return next;
		word = swap_word(store, slot);
	}
	swap_count(store, violations, 1);
	return SYM_SLOT_OWNED;
}

void swap_copy_drop_locked(struct swap_store *store, uint32_t slot)
{
	struct swap_slot *record = &store->slots[slot];

	if (record->where == WHERE_NONE)
		return;
	if (record->where == WHERE_COMPRESSED)
		arena_free(store->arena, (uint32_t)record->value);
	if (record->where == WHERE_SPILLED)
		store->spilled--;
	if (record->flags & SLOT_IO)
		record->flags |= SLOT_STALE;
	record->where = WHERE_NONE;
	store->groups[slot / GROUP_SLOTS].stored--;
}

void swap_copy_set_locked(struct swap_store *store, uint32_t slot, enum slot_where where,
			  uint64_t value, uint32_t length)
{
	struct swap_slot *record = &store->slots[slot];

	record->where = (uint8_t)where;
	record->value = value;
	record->length = (uint16_t)length;
	store->spilled += where == WHERE_SPILLED;
	store->groups[slot / GROUP_SLOTS].stored++;
}

unsigned swap_looks(const struct swap_store *store)
{
	return store->slot_count / LOOK_SLOTS + store->group_count / LOOK_SLOTS + 2;
}
