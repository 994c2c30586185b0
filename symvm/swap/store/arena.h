/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for compressed slots: objects of a few hundred to a few thousand bytes in slabs of 16 KiB,
 * each for objects of one size class. Use is counted in whole slabs, so that the count is what the
 * host really gives; an empty slab goes back to the host at once. Not locked.
 */
#ifndef SYMVM_SWAP_STORE_ARENA_H
#define SYMVM_SWAP_STORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_SLAB_PAGES 4u
#define ARENA_OBJECT_MAX 3576u /* bytes; a larger object would save nothing */
#define ARENA_NONE	 UINT32_MAX

struct arena;

/* Reserves address space for objects of @size bytes in total. NULL: there is not enough. */
struct arena *arena_create(uint64_t size);
void arena_destroy(struct arena *arena);

/*
 * Allocates an object of @length bytes, from 1 to ARENA_OBJECT_MAX, that belongs to slot @owner.
 * Returns its handle, or ARENA_NONE. @may_grow: a new slab may be taken.
 */
uint32_t arena_alloc(struct arena *arena, size_t length, uint32_t owner, bool may_grow);
void arena_free(struct arena *arena, uint32_t handle);
void *arena_data(struct arena *arena, uint32_t handle);

/* Host pages that the arena holds. Any thread, without a lock. */
uint64_t arena_pages(const struct arena *arena);

/*
 * The owner of an object in the oldest slabs, or ARENA_NONE if there is none. Freeing these objects
 * one after another empties slab after slab. Skips the first @skip objects.
 */
uint32_t arena_oldest(struct arena *arena, unsigned skip);

#endif
