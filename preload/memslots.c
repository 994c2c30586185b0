// SPDX-License-Identifier: BSD-2-Clause
#include "memslots.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define ADDRESS_SPACE_SHIFT 16 /* of a slot number: Documentation/virt/kvm/api.rst, 4.35 */

void memslots_init(struct memslots *slots)
{
	*slots = (struct memslots){.list = NULL};
	pthread_rwlock_init(&slots->lock, NULL);
}

/* An empty place at the end, or NULL. */
static struct memslot *slot_append(struct memslots *slots)
{
	size_t room = slots->room ? slots->room * 2 : 16;
	struct memslot *grown;

	if (slots->count == slots->room) {
		grown = realloc(slots->list, room * sizeof(*grown));
		if (!grown)
			return NULL;
		slots->list = grown;
		slots->room = room;
	}
	return &slots->list[slots->count++];
}

static int slot_set(struct memslots *slots, const struct kvm_userspace_memory_region *region)
{
	struct memslot *slot = NULL;

	for (size_t i = 0; i < slots->count && !slot; i++)
		if (slots->list[i].slot == region->slot)
			slot = &slots->list[i];
	if (!region->memory_size) {
		if (slot)
			*slot = slots->list[--slots->count];
		return 0;
	}
	if (!slot)
		slot = slot_append(slots);
	if (!slot)
		return -ENOMEM;
	*slot = (struct memslot){.slot = region->slot,
				 .flags = region->flags,
				 .gpa = region->guest_phys_addr,
				 .size = region->memory_size,
				 .hva = region->userspace_addr};
	return 0;
}

int memslots_set(struct memslots *slots, const struct kvm_userspace_memory_region *region)
{
	int status;

	if (region->slot >> ADDRESS_SPACE_SHIFT)
		return 0;
	pthread_rwlock_wrlock(&slots->lock);
	status = slot_set(slots, region);
	pthread_rwlock_unlock(&slots->lock);
	return status;
}

static bool slot_is_ram(const struct memslot *slot)
{
	return !(slot->flags & KVM_MEM_READONLY);
}

/* The slot that has all of the range. The lock is held. */
static const struct memslot *slot_find(const struct memslots *slots, uint64_t gpa, uint64_t len)
{
	for (size_t i = 0; i < slots->count; i++) {
		const struct memslot *slot = &slots->list[i];

		if (gpa >= slot->gpa && gpa - slot->gpa < slot->size &&
		    len <= slot->size - (gpa - slot->gpa))
			return slot;
	}
	return NULL;
}

/* Whether the slot is of the block of GPA 0: at its place in it, or directly behind it. */
static bool slot_is_kept(const struct memslots *slots, const struct memslot *slot)
{
	const struct memslot *first = slot_find(slots, 0, 1);

	if (!first)
		return false;
	if (slot->hva - slot->gpa == first->hva)
		return true;
	for (size_t i = 0; i < slots->count; i++) {
		const struct memslot *other = &slots->list[i];

		if (other->hva - other->gpa == first->hva && other->hva + other->size == slot->hva)
			return true;
	}
	return false;
}

static void *translate(struct memslots *slots, uint64_t gpa, uint64_t len, bool kept)
{
	const struct memslot *slot;
	uint64_t hva = 0;

	pthread_rwlock_rdlock(&slots->lock);
	slot = slot_find(slots, gpa, len);
	if (slot && slot_is_ram(slot) && (!kept || slot_is_kept(slots, slot)))
		hva = slot->hva + (gpa - slot->gpa);
	pthread_rwlock_unlock(&slots->lock);
	return (void *)(uintptr_t)hva;
}

void *memslots_translate(struct memslots *slots, uint64_t gpa, uint64_t len)
{
	return translate(slots, gpa, len, false);
}

void *memslots_translate_kept(struct memslots *slots, uint64_t gpa, uint64_t len)
{
	return translate(slots, gpa, len, true);
}

uint64_t memslots_size(struct memslots *slots)
{
	uint64_t size = 0;

	pthread_rwlock_rdlock(&slots->lock);
	for (size_t i = 0; i < slots->count; i++)
		if (slot_is_ram(&slots->list[i]))
			size += slots->list[i].size;
	pthread_rwlock_unlock(&slots->lock);
	return size;
}
