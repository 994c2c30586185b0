// SPDX-License-Identifier: BSD-2-Clause
#include "swap/store/arena.h"

#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_SIZE  4096u
#define SLAB_SIZE  (ARENA_SLAB_PAGES * PAGE_SIZE)
#define CLASS_STEP 128u
#define CLASSES	   29u /* up to 28 * 128 = 3584 bytes, 8 of them the owner's */
#define SLOTS_MAX  64u
#define NONE	   UINT32_MAX

struct object {
	uint32_t owner;
	uint32_t reserved;
	uint8_t data[];
};

struct slab {
	uint64_t taken;		 /* one bit per object */
	uint32_t next, previous; /* slabs with room of one class; free ones: next alone */
	uint32_t newer, older;	 /* in the order in which they were taken */
	uint16_t class;
	uint16_t used;
};

struct arena {
	uint8_t *base;
	struct slab *slabs;
	uint32_t count; /* of slabs; those from `fresh` on were never taken */
	uint32_t fresh;
	uint32_t free;
	uint32_t with_room[CLASSES];
	uint32_t oldest, newest;
	_Atomic uint64_t held; /* slabs */
};

static unsigned class_capacity(unsigned class)
{
	unsigned capacity = SLAB_SIZE / (class * CLASS_STEP);

	return capacity < SLOTS_MAX ? capacity : SLOTS_MAX;
}

struct arena *arena_create(uint64_t size)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	uint64_t slabs = (size + SLAB_SIZE - 1) / SLAB_SIZE + CLASSES;

	/* Handles have 26 bits for the slab. */
	if (!arena || slabs >= 1u << 26) {
		free(arena);
		return NULL;
	}
	arena->count = (uint32_t)slabs;
	arena->slabs = calloc(slabs, sizeof(*arena->slabs));
	arena->base = mmap(NULL, slabs * SLAB_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	arena->free = arena->oldest = arena->newest = NONE;
	for (unsigned class = 0; class < CLASSES; class ++)
		arena->with_room[class] = NONE;
	if (!arena->slabs || arena->base == MAP_FAILED) {
		if (arena->base != MAP_FAILED)
			munmap(arena->base, slabs * SLAB_SIZE);
		free(arena->slabs);
		free(arena);
		return NULL;
	}
	/* Huge pages would cost more than is counted. Guest data must not be in a core dump. */
	madvise(arena->base, slabs * SLAB_SIZE, MADV_NOHUGEPAGE);
	madvise(arena->base, slabs * SLAB_SIZE, MADV_DONTDUMP);
	return arena;
}

void arena_destroy(struct arena *arena)
{
	if (!arena)
		return;
	munmap(arena->base, (size_t)arena->count * SLAB_SIZE);
	free(arena->slabs);
	free(arena);
}

static void room_link(struct arena *arena, uint32_t index)
{
	struct slab *slab = &arena->slabs[index];
	uint32_t *head = &arena->with_room[slab->class];

	slab->previous = NONE;
	slab->next = *head;
	if (*head != NONE)
		arena->slabs[*head].previous = index;
	*head = index;
}

static void room_unlink(struct arena *arena, uint32_t index)
{
	struct slab *slab = &arena->slabs[index];

	if (slab->previous != NONE)
		arena->slabs[slab->previous].next = slab->next;
	else
		arena->with_room[slab->class] = slab->next;
	if (slab->next != NONE)
		arena->slabs[slab->next].previous = slab->previous;
}

static uint32_t slab_take(struct arena *arena, unsigned class)
{
	uint32_t index = arena->free;
	struct slab *slab;

	if (index != NONE)
		arena->free = arena->slabs[index].next;
	else if (arena->fresh < arena->count)
		index = arena->fresh++;
	else
		return NONE;
	slab = &arena->slabs[index];
	*slab = (struct slab){.class = (uint16_t) class, .newer = NONE, .older = arena->newest};
	if (arena->newest != NONE)
		arena->slabs[arena->newest].newer = index;
	else
		arena->oldest = index;
	arena->newest = index;
	arena->held++;
	room_link(arena, index);
	return index;
}

static void slab_release(struct arena *arena, uint32_t index)
{
	struct slab *slab = &arena->slabs[index];

	room_unlink(arena, index);
	if (slab->newer != NONE)
		arena->slabs[slab->newer].older = slab->older;
	else
		arena->newest = slab->older;
	if (slab->older != NONE)
		arena->slabs[slab->older].newer = slab->newer;
	else
		arena->oldest = slab->newer;
	madvise(arena->base + (size_t)index * SLAB_SIZE, SLAB_SIZE, MADV_DONTNEED);
	slab->next = arena->free;
	arena->free = index;
	arena->held--;
}

static struct object *object_at(struct arena *arena, uint32_t index, unsigned position)
{
	return (struct object *)(arena->base + (size_t)index * SLAB_SIZE +
				 (size_t)position * arena->slabs[index].class * CLASS_STEP);
}

uint32_t arena_alloc(struct arena *arena, size_t length, uint32_t owner, bool may_grow)
{
	unsigned class = (unsigned)((length + sizeof(struct object) + CLASS_STEP - 1) / CLASS_STEP);
	uint32_t index = arena->with_room[class < 2 ? class = 2 : class];
	struct slab *slab;
	unsigned position;

	if (index == NONE)
		index = may_grow ? slab_take(arena, class) : NONE;
	if (index == NONE)
		return ARENA_NONE;
	slab = &arena->slabs[index];
	position = (unsigned)__builtin_ctzll(~slab->taken);
	slab->taken |= 1ull << position;
	if (++slab->used == class_capacity(class))
		room_unlink(arena, index);
	object_at(arena, index, position)->owner = owner;
	return index << 6 | position;
}

void arena_free(struct arena *arena, uint32_t handle)
{
	uint32_t index = handle >> 6;
	struct slab *slab = &arena->slabs[index];

	slab->taken &= ~(1ull << (handle & 63));
	if (slab->used-- == class_capacity(slab->class))
		room_link(arena, index);
	if (slab->used == 0)
		slab_release(arena, index);
}

void *arena_data(struct arena *arena, uint32_t handle)
{
	return object_at(arena, handle >> 6, handle & 63)->data;
}

uint64_t arena_pages(const struct arena *arena)
{
	return arena->held * ARENA_SLAB_PAGES;
}

uint32_t arena_oldest(struct arena *arena, unsigned skip)
{
	for (uint32_t index = arena->oldest; index != NONE; index = arena->slabs[index].newer) {
		uint64_t taken = arena->slabs[index].taken;

		for (; taken; taken &= taken - 1)
			if (skip-- == 0)
				return object_at(arena, index, (unsigned)__builtin_ctzll(taken))
					->owner;
	}
	return ARENA_NONE;
}
