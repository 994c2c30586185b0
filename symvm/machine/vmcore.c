// SPDX-License-Identifier: BSD-2-Clause
#include "machine/vmcore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/vmcore_internal.h"
#include "util/descriptor.h"
#include "util/u64.h"

#define CHUNK (1u << 20)

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, VMCORE_PAGE - 1) == 0;
}

struct copy {
	struct vmcore *core;
	struct vmcoreinfo_finder finder;
	uint8_t *buffer; /* CHUNK bytes */
	uint64_t end;	 /* of what was written to the file */
};

/* Writes the pages of the buffer that are not zero; they belong at @offset of the file. */
static int put_pages(struct copy *copy, size_t size, uint64_t gpa, uint64_t offset)
{
	size_t start = 0, at = 0;
	int status = 0;

	while (at < size) {
		for (; at < size && is_zero(copy->buffer + at); at += VMCORE_PAGE)
			;
		for (start = at; at < size && !is_zero(copy->buffer + at); at += VMCORE_PAGE)
			vmcoreinfo_look(&copy->finder, copy->buffer + at, gpa + at);
		if (at == start)
			continue;
		status = descriptor_write_at(copy->core->fd, copy->buffer + start, at - start,
					     (off_t)(offset + start));
		if (status < 0)
			break;
		copy->core->written += at - start;
		copy->end = offset + at;
	}
	return status;
}

/*
 * The next range of @region that has data, from @from on: false if there is none. A file that knows
 * no holes (hugetlbfs) is all data.
 */
static bool next_data(const struct memory_region *region, uint64_t from, uint64_t *start,
		      uint64_t *end)
{
	off_t base = (off_t)region->fd_offset;
	off_t data = lseek(region->fd, base + (off_t)from, SEEK_DATA), hole;

	if (data < 0 && errno == ENXIO)
		return false;
	if (data < 0)
		data = base + (off_t)from;
	hole = lseek(region->fd, data, SEEK_HOLE);
	if (hole < 0)
		hole = base + (off_t)region->size;
	*start = (uint64_t)(data - base) / VMCORE_PAGE * VMCORE_PAGE;
	*end = u64_min(u64_round_up((uint64_t)(hole - base), VMCORE_PAGE), region->size);
	return *start < *end;
}

static int copy_range(struct copy *copy, const struct memory_region *region, uint64_t start,
		      uint64_t end, uint64_t file_offset, struct error *err)
{
	struct vmcore *core = copy->core;
	int status;

	for (uint64_t at = start; at < end; at += CHUNK) {
		size_t size = (size_t)u64_min(end - at, CHUNK);

		if (core->cut && core->cut(core->opaque))
			return error_set(err, -ECANCELED, "the dump was given up");
		status = vmcore_read_ram(core->memory, region->gpa + at, copy->buffer, size);
		if (status < 0)
			return error_set_errno(err, status, "the guest's memory at 0x%llx",
					       (unsigned long long)(region->gpa + at));
		status = put_pages(copy, size, region->gpa + at, file_offset + at);
		if (status < 0)
			return error_set_errno(err, status,
					       "the dump, after %llu MiB of the guest's memory",
					       (unsigned long long)(core->written >> 20));
	}
	return 0;
}

static int copy_ram(struct copy *copy, struct error *err)
{
	struct vmcore *core = copy->core;
	uint64_t start, end;
	int status = 0;

	core->size = VMCORE_HEAD;
	for (unsigned i = 0; i < core->memory->count && status == 0; i++) {
		const struct memory_region *region = &core->memory->regions[i];

		if (!region->ram)
			continue;
		for (uint64_t at = 0;
		     at < region->size && status == 0 && next_data(region, at, &start, &end);
		     at = end)
			status = copy_range(copy, region, start, end, core->size, err);
		core->size += region->size;
	}
	return status;
}

/* Everything is on the disk before the head makes an ELF file of it. */
static int finish(struct copy *copy, struct error *err)
{
	struct vmcore *core = copy->core;
	char info[VMCOREINFO_MAX];
	size_t info_size = vmcoreinfo_choose(&copy->finder, core->memory, info);
	int status = 0;

	core->has_vmcoreinfo = info_size > 0;
	/* Gives the file its size. */
	if (copy->end < core->size)
		status = descriptor_write_at(core->fd, "", 1, (off_t)(core->size - 1));
	if (status == 0 && fdatasync(core->fd) < 0)
		status = -errno;
	if (status == 0) {
		vmcore_head_make(core, info, info_size, copy->buffer);
		status = descriptor_write_at(core->fd, copy->buffer, VMCORE_HEAD, 0);
	}
	if (status == 0 && fdatasync(core->fd) < 0)
		status = -errno;
	return status < 0 ? error_set_errno(err, status, "the dump") : 0;
}

int vmcore_write(struct vmcore *core, struct error *err)
{
	struct copy copy = {.core = core};
	int status = 0;

	core->size = core->written = 0;
	core->has_vmcoreinfo = false;
	copy.buffer = malloc(CHUNK);
	if (!copy.buffer)
		return error_set(err, -ENOMEM, "the dump: out of memory");
	if (ftruncate(core->fd, 0) < 0)
		status = error_set_errno(err, -errno, "the dump");
	if (status == 0)
		status = copy_ram(&copy, err);
	if (status == 0)
		status = finish(&copy, err);
	free(copy.buffer);
	/* It can only fail as it just did. */
	if (status < 0 && ftruncate(core->fd, 0) < 0)
		return status;
	return status;
}
