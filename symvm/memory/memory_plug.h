/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a guest has only in part: a region beyond RAM in blocks, each plugged or not
 * (virtio-mem). Unplugged blocks cost the host nothing and cannot be accessed: their mapping is
 * PROT_NONE, so that a guest's access ends its own KVM_RUN with -EFAULT.
 *
 * Plugging and unplugging are done by the I/O loop's thread alone, or while no thread runs.
 */
#ifndef SYMVM_MEMORY_PLUG_H
#define SYMVM_MEMORY_PLUG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "memory/memory.h"

#define MEMORY_BLOCK_MINIMUM (2ull << 20)
#define MEMORY_BLOCKS_MAX    16384u	    /* each may cost the host a mapping of its own */
#define MEMORY_PLUG_ALIGN    (128ull << 20) /* x86 Linux' memory blocks ... */
#define MEMORY_PLUG_LARGE    (2ull << 30)   /* ... and those of a guest whose boot-time RAM */
#define MEMORY_LARGE_RAM_END (64ull << 30)  /* ends here or above (probe_memory_block_size()) */

struct memory_blocks {
	uint64_t block_size; /* a power of two, a multiple of 2 MiB */
	uint32_t count;
	bool reserve;		  /* huge pages of a pool: plugging takes them, or fails */
	_Atomic uint64_t plugged; /* bytes */
	_Atomic uint64_t bits[];  /* one per block */
};

/* The part of memory_check_config() about config->max; @host: bytes that the host has, or 0. */
int memory_plug_check_config(const struct memory_config *config, uint64_t host, struct error *err);

/*
 * Adds the region for config->max - config->size bytes above RAM; nothing of it is plugged. It
 * begins at a GiB boundary and its size is rounded up to MEMORY_PLUG_ALIGN; above
 * MEMORY_LARGE_RAM_END both are multiples of MEMORY_PLUG_LARGE, since Linux can plug only whole
 * blocks. Called by memory_init().
 */
int memory_plug_create(struct guest_memory *memory, const struct memory_config *config,
		       struct error *err);

/* The region, or NULL. Any thread. */
struct memory_region *memory_plug_region(struct guest_memory *memory);

/*
 * Whether all blocks that [@gpa, @gpa + @length) touches are plugged (not plugged). False if the
 * range is empty or leaves the region. Any thread.
 */
bool memory_plug_test(const struct memory_region *region, uint64_t gpa, uint64_t length,
		      bool plugged);

/*
 * Plugs or unplugs whole blocks that memory_plug_test() says are not (are) plugged. New contents
 * are zero; old ones are gone and the host has the memory back. -ENOMEM: the host cannot, nothing
 * changed. Before unplugging: virtio_devices_quiesce().
 */
int memory_plug(struct memory_region *region, uint64_t gpa, uint64_t length);
int memory_unplug(struct memory_region *region, uint64_t gpa, uint64_t length);

#endif
