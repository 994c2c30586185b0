// SPDX-License-Identifier: BSD-2-Clause
#include "memory/memory_plug.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/memory_backing.h"
#include "memory/memory_region.h"
#include "util/u64.h"

#define GIB (1ull << 30)

int memory_plug_check_config(const struct memory_config *config, uint64_t host, struct error *err)
{
	if (config->max == 0)
		return 0;
	if (config->max < config->size)
		return error_set(err, -EINVAL,
				 "memory: max=%llu MiB is less than the %llu MiB of the boot",
				 (unsigned long long)(config->max >> 20),
				 (unsigned long long)(config->size >> 20));
	if (config->max % MEMORY_BLOCK_MINIMUM || config->size % MEMORY_BLOCK_MINIMUM)
		return error_set(err, -EINVAL,
				 "memory: with max= both sizes are multiples of %llu MiB",
				 MEMORY_BLOCK_MINIMUM >> 20);
	if (host && config->max > host)
		return error_set(
			err, -ENOMEM, "memory: max=%llu MiB are more than the host's %llu MiB",
			(unsigned long long)(config->max >> 20), (unsigned long long)(host >> 20));
	return 0;
}

/* Makes blocks so few that the host's limit of mappings per process is never near. */
static uint64_t block_size_of(uint64_t size)
{
	uint64_t block = MEMORY_BLOCK_MINIMUM;

	while (size / block > MEMORY_BLOCKS_MAX)
		block *= 2;
	return block;
}

static struct memory_blocks *blocks_create(uint64_t size, bool reserve)
{
	uint64_t block = block_size_of(size);
	uint32_t count = (uint32_t)(size / block);
	struct memory_blocks *blocks;

	blocks = calloc(1, sizeof(*blocks) + (count + 63) / 64 * sizeof(blocks->bits[0]));
	if (!blocks)
		return NULL;
	blocks->block_size = block;
	blocks->count = count;
	blocks->reserve = reserve;
	return blocks;
}

int memory_plug_create(struct guest_memory *memory, const struct memory_config *config,
		       struct error *err)
{
	const struct memory_region *last = &memory->regions[memory->count - 1];
	uint64_t end = last->gpa + last->size;
	bool large = end >= MEMORY_LARGE_RAM_END;
	uint64_t size = u64_round_up(config->max - config->size,
				     large ? MEMORY_PLUG_LARGE : MEMORY_PLUG_ALIGN);
	struct memory_config file = {.size = size, .huge_pages = config->huge_pages};
	struct memory_region region = {.size = size, .ram = true, .fd = -1};
	int status;

	region.gpa = u64_round_up(end > MEMORY_HOLE_END ? end : MEMORY_HOLE_END,
				  large ? MEMORY_PLUG_LARGE : GIB);
	region.blocks = blocks_create(size, config->huge_pages);
	if (!region.blocks)
		return error_set(err, -ENOMEM, "memory: out of memory");
	region.fd = status = memory_file_create(&file, err);
	if (status >= 0)
		status = memory_region_add(memory, &region, PROT_NONE, err);
	if (status < 0) {
		if (region.fd >= 0)
			close(region.fd);
		free(region.blocks);
	}
	return status;
}

struct memory_region *memory_plug_region(struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++)
		if (memory->regions[i].blocks)
			return &memory->regions[i];
	return NULL;
}

static bool block_test(const struct memory_blocks *blocks, uint64_t block)
{
	return atomic_load(&blocks->bits[block / 64]) >> (block % 64) & 1;
}

bool memory_plug_test(const struct memory_region *region, uint64_t gpa, uint64_t length,
		      bool plugged)
{
	const struct memory_blocks *blocks = region->blocks;
	uint64_t offset = gpa - region->gpa;

	if (length == 0 || gpa < region->gpa || offset >= region->size ||
	    length > region->size - offset)
		return false;
	for (uint64_t block = offset / blocks->block_size;
	     block <= (offset + length - 1) / blocks->block_size; block++)
		if (block_test(blocks, block) != plugged)
			return false;
	return true;
}

static void blocks_mark(struct memory_region *region, uint64_t offset, uint64_t length,
			bool plugged)
{
	struct memory_blocks *blocks = region->blocks;
	uint64_t end = (offset + length) / blocks->block_size;

	for (uint64_t block = offset / blocks->block_size; block < end; block++) {
		if (plugged)
			atomic_fetch_or(&blocks->bits[block / 64], 1ull << block % 64);
		else
			atomic_fetch_and(&blocks->bits[block / 64], ~(1ull << block % 64));
	}
	if (plugged)
		atomic_fetch_add(&blocks->plugged, length);
	else
		atomic_fetch_sub(&blocks->plugged, length);
}

static int block_punch(const struct memory_region *region, uint64_t offset, uint64_t length)
{
	return fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 (off_t)(region->fd_offset + offset), (off_t)length);
}

int memory_plug(struct memory_region *region, uint64_t gpa, uint64_t length)
{
	uint64_t offset = gpa - region->gpa;
	int status = 0;

	/*
	 * If the pool is used up, the guest's access would raise SIGBUS. So take the pages now, or
	 * fail.
	 */
	if (region->blocks->reserve)
		status = fallocate(region->fd, 0, (off_t)(region->fd_offset + offset),
				   (off_t)length);
	if (status == 0)
		status = mprotect(region->hva + offset, length, PROT_READ | PROT_WRITE);
	if (status < 0) {
		block_punch(region, offset, length);
		return -ENOMEM;
	}
	blocks_mark(region, offset, length, true);
	return 0;
}

int memory_unplug(struct memory_region *region, uint64_t gpa, uint64_t length)
{
	uint64_t offset = gpa - region->gpa;

	/* First, so that nothing translates the memory any more when it goes. */
	blocks_mark(region, offset, length, false);
	if (mprotect(region->hva + offset, length, PROT_NONE) == 0 &&
	    block_punch(region, offset, length) == 0)
		return 0;
	mprotect(region->hva + offset, length, PROT_READ | PROT_WRITE);
	blocks_mark(region, offset, length, true);
	return -ENOMEM;
}
