// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "machine/vmcore_internal.h"

/* What lies beyond the end of the file, or in a hole, is zero. */
static int read_at(int fd, uint8_t *data, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t done = pread(fd, data, size, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (done == 0) {
			memset(data, 0, size);
			return 0;
		}
		data += done;
		offset += (uint64_t)done;
		size -= (size_t)done;
	}
	return 0;
}

int vmcore_read_ram(const struct guest_memory *memory, uint64_t gpa, void *out, size_t size)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];
		uint64_t offset = gpa - region->gpa;

		if (region->ram && gpa >= region->gpa && offset < region->size &&
		    size <= region->size - offset)
			return read_at(region->fd, out, size, region->fd_offset + offset);
	}
	return -EFAULT;
}
