// SPDX-License-Identifier: BSD-2-Clause
#include "memory/memory_region.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define GUARD_SIZE MEMORY_HUGE_PAGE_SIZE

int memory_region_set_memslot(struct guest_memory *memory, const struct memory_region *region,
			      uint32_t flags)
{
	struct kvm_userspace_memory_region slot = {
		.slot = region->slot,
		.flags = flags,
		.guest_phys_addr = region->gpa,
		.memory_size = region->size,
		.userspace_addr = (uintptr_t)region->hva,
	};

	if (ioctl(memory->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
		return -errno;
	return 0;
}

/*
 * Maps @size bytes of @fd between two inaccessible guards of GUARD_SIZE, so that an access beyond
 * RAM faults instead of reaching whatever the host happened to map there. Aligned to huge pages.
 * NULL with errno.
 */
static uint8_t *ram_map(uint64_t size, int fd, uint64_t fd_offset, int protection)
{
	/* One guard more than needed, because the alignment takes a part of it. */
	uint64_t reserved = size + 3 * GUARD_SIZE;
	uint8_t *base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			     -1, 0);
	uint8_t *start, *end;

	if (base == MAP_FAILED)
		return NULL;
	start = base + (MEMORY_HUGE_PAGE_SIZE - (uintptr_t)base % MEMORY_HUGE_PAGE_SIZE) %
			       MEMORY_HUGE_PAGE_SIZE;
	end = start + size + 2 * GUARD_SIZE;
	if (start > base)
		munmap(base, (size_t)(start - base));
	if (base + reserved > end)
		munmap(end, (size_t)(base + reserved - end));
	if (mmap(start + GUARD_SIZE, size, protection, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
		 (off_t)fd_offset) == MAP_FAILED) {
		int error = errno;

		munmap(start, size + 2 * GUARD_SIZE);
		errno = error;
		return NULL;
	}
	return start + GUARD_SIZE;
}

void memory_region_unmap(const struct memory_region *region)
{
	munmap(region->hva - GUARD_SIZE, region->size + 2 * GUARD_SIZE);
}

int memory_region_add(struct guest_memory *memory, const struct memory_region *what, int protection,
		      struct error *err)
{
	struct memory_region *region = &memory->regions[memory->count];
	int status;

	if (memory->count >= MEMORY_REGIONS_MAX)
		return error_set(err, -ENOSPC, "memory: more than %u regions", MEMORY_REGIONS_MAX);
	*region = *what;
	region->slot = memory->count;
	region->hva = ram_map(region->size, region->fd, region->fd_offset, protection);
	if (!region->hva)
		return error_set_errno(err, -errno, "memory: mmap of %llu MiB at 0x%llx",
				       (unsigned long long)(region->size >> 20),
				       (unsigned long long)region->gpa);
	if (!memory->dump)
		madvise(region->hva, region->size, MADV_DONTDUMP);
	if (memory->huge && region->ram)
		madvise(region->hva, region->size, MADV_HUGEPAGE);
	status = memory_region_set_memslot(memory, region, 0);
	if (status < 0) {
		memory_region_unmap(region);
		return error_set_errno(err, status, "memory: memslot at 0x%llx",
				       (unsigned long long)region->gpa);
	}
	memory->count++;
	return 0;
}
