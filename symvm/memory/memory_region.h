/* SPDX-License-Identifier: BSD-2-Clause */
/* One piece of guest memory: its mapping in the VMM, with guards around it, and its memslot. */
#ifndef SYMVM_MEMORY_REGION_H
#define SYMVM_MEMORY_REGION_H

#include <stdint.h>

#include "memory/memory.h"
#include "util/error.h"

/*
 * Maps the region that @what describes (gpa, size, fd, fd_offset, ram, blocks) with @protection,
 * between inaccessible guards, and installs the memslot. On success the region owns fd and blocks.
 * Before any vCPU runs. -ENOSPC (too many regions), -errno.
 */
int memory_region_add(struct guest_memory *memory, const struct memory_region *what, int protection,
		      struct error *err);
/* Installs the memslot of @region again, with KVM_MEM_* @flags. Any thread. -errno. */
int memory_region_set_memslot(struct guest_memory *memory, const struct memory_region *region,
			      uint32_t flags);
/* Unmaps the region and its guards. No vCPU or device may use it any more. */
void memory_region_unmap(const struct memory_region *region);

#endif
