// SPDX-License-Identifier: BSD-2-Clause
/* What both kernel formats use to load: files, the initrd, the memory map. */
#include <errno.h>
#include <unistd.h>

#include "machine/address_map.h"
#include "machine/boot.h"
#include "machine/vm.h"

int boot_file_read(const struct boot_file *file, uint64_t offset, void *data, size_t length,
		   struct error *err)
{
	size_t done = 0;

	if (offset > file->size || length > file->size - offset)
		return error_set(err, -ENOEXEC, "%s: is truncated (%zu bytes expected at %llu)",
				 file->path, length, (unsigned long long)offset);
	while (done < length) {
		ssize_t got = pread(file->fd, (char *)data + done, length - done,
				    (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EFAULT)
			return error_set(err, -ENOMEM,
					 "%s: cannot be loaded: the host has no memory left for "
					 "the guest's RAM",
					 file->path);
		if (got < 0)
			return error_set_errno(err, -errno, "%s: read", file->path);
		if (got == 0)
			return error_set(err, -ENOEXEC, "%s: became shorter than %llu bytes",
					 file->path, (unsigned long long)file->size);
		done += (size_t)got;
	}
	return 0;
}

int boot_file_load(struct vm *vm, const struct boot_file *file, uint64_t offset, uint64_t length,
		   uint64_t gpa, struct error *err)
{
	void *hva = memory_translate(&vm->memory, gpa, length);

	if (!hva)
		return error_set(
			err, -E2BIG,
			"%s: %llu bytes at 0x%llx do not fit the guest's memory of %llu MiB",
			file->path, (unsigned long long)length, (unsigned long long)gpa,
			(unsigned long long)(vm->memory.ram_size >> 20));
	return boot_file_read(file, offset, hva, length, err);
}

int boot_initrd_load(struct vm *vm, uint64_t floor, uint64_t limit, uint64_t *gpa,
		     struct error *err)
{
	const struct boot_file *initrd = &vm->boot.initrd;
	uint64_t top = vm->memory.regions[0].size;

	*gpa = 0;
	if (initrd->fd < 0)
		return 0;
	if (limit < top)
		top = limit;
	if (initrd->size > top || ((top - initrd->size) & ~0xfffull) < floor)
		return error_set(err, -E2BIG,
				 "initrd %s: %llu MiB do not fit into %llu MiB next to the kernel",
				 initrd->path, (unsigned long long)(initrd->size >> 20),
				 (unsigned long long)(vm->memory.ram_size >> 20));
	*gpa = (top - initrd->size) & ~0xfffull;
	memory_back_huge(&vm->memory, *gpa, initrd->size);
	return boot_file_load(vm, initrd, 0, initrd->size, *gpa, err);
}

void boot_map_walk(struct vm *vm, boot_map_add add, void *opaque)
{
	const struct guest_memory *memory = &vm->memory;

	add(opaque, 0, BOOT_LOW_END, true);
	add(opaque, BOOT_LOW_END, BOOT_HIGH_START - BOOT_LOW_END, false);
	for (unsigned i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];

		if (!region->ram || region->blocks)
			continue;
		if (region->gpa == 0)
			add(opaque, BOOT_HIGH_START, region->size - BOOT_HIGH_START, true);
		else
			add(opaque, region->gpa, region->size, true);
	}
	add(opaque, PCI_ECAM_BASE, PCI_ECAM_SIZE, false);
}
