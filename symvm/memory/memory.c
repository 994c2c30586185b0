// SPDX-License-Identifier: BSD-2-Clause
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory/memory_backing.h"
#include "memory/memory_host.h"
#include "memory/memory_plug.h"
#include "memory/memory_region.h"

#define MEMORY_MINIMUM	 (16ull << 20)
#define MEMORY_ALIGNMENT (1ull << 20)
#define WINDOW_ALIGNMENT (1ull << 30)
#define PAGE_SIZE	 4096ull
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; newer than Debian 12's headers of the C library */
#endif

static int check_size(const struct memory_config *config, struct error *err)
{
	uint64_t alignment = config->huge_pages ? MEMORY_HUGE_PAGE_SIZE : MEMORY_ALIGNMENT;

	if (config->size < MEMORY_MINIMUM)
		return error_set(err, -EINVAL,
				 "memory: %llu bytes are less than the minimum of %llu MiB",
				 (unsigned long long)config->size,
				 (unsigned long long)(MEMORY_MINIMUM >> 20));
	if (config->size % alignment)
		return error_set(err, -EINVAL, "memory: %llu bytes are not a multiple of %llu MiB",
				 (unsigned long long)config->size,
				 (unsigned long long)(alignment >> 20));
	return 0;
}

int memory_check_config(const struct memory_config *config, struct error *err)
{
	struct memory_host host;
	int status = check_size(config, err);

	if (status < 0)
		return status;
	memory_host_read(&host, "");
	status = memory_host_check(&host, config, err);
	return status < 0 ? status : memory_plug_check_config(config, host.total, err);
}

int memory_window_add(struct guest_memory *memory, uint64_t size, int fd, uint64_t limit,
		      const struct memory_region **out, struct error *err)
{
	struct memory_region region = {.gpa = MEMORY_HOLE_END, .size = size, .fd = fd};
	int status;

	for (unsigned i = 0; i < memory->count; i++)
		if (memory->regions[i].gpa + memory->regions[i].size > region.gpa)
			region.gpa = memory->regions[i].gpa + memory->regions[i].size;
	region.gpa = (region.gpa + WINDOW_ALIGNMENT - 1) & ~(WINDOW_ALIGNMENT - 1);
	if (region.gpa >= limit || size > limit - region.gpa)
		return error_set(err, -ERANGE,
				 "memory: a window of %llu MiB at 0x%llx would reach beyond "
				 "0x%llx, all that the guest's CPUs can address",
				 (unsigned long long)(size >> 20), (unsigned long long)region.gpa,
				 (unsigned long long)limit);
	status = memory_region_add(memory, &region, PROT_READ | PROT_WRITE, err);
	if (status == 0)
		*out = &memory->regions[memory->count - 1];
	return status;
}

/* Boot-time RAM: below the hole, and the rest above it. */
static int ram_add(struct guest_memory *memory, const struct memory_config *config,
		   struct error *err)
{
	uint64_t low = config->size < MEMORY_HOLE_START ? config->size : MEMORY_HOLE_START;
	struct memory_region region = {.size = low, .ram = true};
	int status;

	region.fd = memory_file_create(config, err);
	if (region.fd < 0)
		return region.fd;
	status = config->huge_pages ? memory_file_reserve(region.fd, config->size, err) : 0;
	if (status == 0)
		status = memory_region_add(memory, &region, PROT_READ | PROT_WRITE, err);
	if (status < 0) {
		close(region.fd);
		return status;
	}
	if (config->size == low)
		return 0;
	region.gpa = MEMORY_HOLE_END;
	region.size = config->size - low;
	region.fd_offset = low;
	return memory_region_add(memory, &region, PROT_READ | PROT_WRITE, err);
}

int memory_init(struct guest_memory *memory, int vm_fd, const struct memory_config *config,
		struct error *err)
{
	int status = check_size(config, err);

	if (status < 0)
		return status;
	memset(memory, 0, sizeof(*memory));
	memory->vm_fd = vm_fd;
	memory->ram_size = config->size;
	memory->dump = config->dump;
	memory->reserved = config->huge_pages;
	memory->huge = !config->huge_pages && memory_file_huge_allowed();
	status = ram_add(memory, config, err);
	if (status == 0 && config->max > config->size)
		status = memory_plug_create(memory, config, err);
	if (status < 0)
		memory_destroy(memory);
	return status;
}

void memory_destroy(struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->count; i++) {
		memory_region_unmap(&memory->regions[i]);
		/* Regions of one memfd share the descriptor; the first owns it. */
		if (memory->regions[i].fd_offset == 0)
			close(memory->regions[i].fd);
		free(memory->regions[i].blocks);
	}
	memory->count = 0;
}

static const struct memory_region *region_find(const struct guest_memory *memory, uint64_t gpa,
					       uint64_t length)
{
	for (unsigned i = 0; length && i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];

		if (region->ram && gpa >= region->gpa && gpa - region->gpa < region->size)
			return length <= region->size - (gpa - region->gpa) ? region : NULL;
	}
	return NULL;
}

void *memory_translate(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	const struct memory_region *region = region_find(memory, gpa, length);

	if (!region || (region->blocks && !memory_plug_test(region, gpa, length, true)))
		return NULL;
	return region->hva + (gpa - region->gpa);
}

void *memory_translate_fixed(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	const struct memory_region *region = region_find(memory, gpa, length);

	return region && !region->blocks ? region->hva + (gpa - region->gpa) : NULL;
}

void memory_back_huge(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	for (unsigned i = 0; memory->huge && i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];
		uint64_t offset = gpa & ~(MEMORY_HUGE_PAGE_SIZE - 1);

		if (!region->ram || region->blocks || gpa < region->gpa ||
		    gpa - region->gpa >= region->size ||
		    length > region->size - (gpa - region->gpa))
			continue;
		for (offset -= region->gpa; offset < gpa - region->gpa + length &&
					    region->size - offset >= MEMORY_HUGE_PAGE_SIZE;
		     offset += MEMORY_HUGE_PAGE_SIZE) {
			/* The kernel collapses only memory that has a page already. */
			(void)*(volatile uint8_t *)(region->hva + offset);
			if (madvise(region->hva + offset, MEMORY_HUGE_PAGE_SIZE, MADV_COLLAPSE) <
				    0 &&
			    errno == EINVAL)
				return; /* a kernel before 6.1, or one that does not allow it */
		}
	}
}

int memory_discard(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	uint8_t *hva = memory_translate(memory, gpa, length);
	const struct memory_region *region = region_find(memory, gpa, length);

	if ((gpa | length) % PAGE_SIZE)
		return -EINVAL;
	if (!hva)
		return -EFAULT;
	if (memory->reserved ||
	    fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      (off_t)(region->fd_offset + (gpa - region->gpa)), (off_t)length) < 0)
		memset(hva, 0, length);
	return 0;
}

int memory_read(const struct guest_memory *memory, uint64_t gpa, void *data, uint64_t length)
{
	const void *hva = memory_translate(memory, gpa, length);

	if (!hva)
		return -EFAULT;
	memcpy(data, hva, length);
	return 0;
}

int memory_write(const struct guest_memory *memory, uint64_t gpa, const void *data, uint64_t length)
{
	void *hva = memory_translate(memory, gpa, length);

	if (!hva)
		return -EFAULT;
	memcpy(hva, data, length);
	return 0;
}

int memory_dirty_log(struct guest_memory *memory, bool enable)
{
	for (unsigned i = 0; i < memory->count; i++) {
		int status = memory_region_set_memslot(memory, &memory->regions[i],
						       enable ? KVM_MEM_LOG_DIRTY_PAGES : 0);

		if (status < 0)
			return status;
	}
	return 0;
}

int memory_dirty_fetch(struct guest_memory *memory, unsigned index, void *bitmap, size_t bytes)
{
	struct kvm_dirty_log log = {.slot = index, .dirty_bitmap = bitmap};

	if (index >= memory->count)
		return -EINVAL;
	/* KVM writes whole longs. */
	if (bytes < (memory->regions[index].size / 4096 + 63) / 64 * 8)
		return -ENOSPC;
	if (ioctl(memory->vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return -errno;
	return 0;
}
