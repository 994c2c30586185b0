// SPDX-License-Identifier: BSD-2-Clause
/*
 * ELF kernels (vmlinux and others) by the PVH protocol: Xen's
 * docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/boot.h"
#include "machine/vm.h"

#define PVH_NOTE_TYPE	    18u /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_MAGIC	    0x336ec578u
#define PVH_MAP_MAX	    16u
#define PVH_MEMORY_RAM	    1u
#define PVH_MEMORY_RESERVED 2u
#define ELF_SEGMENTS_MAX    64u
#define ELF_NOTES_MAX	    (1u << 16)

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t module_count;
	uint64_t modules;
	uint64_t command_line;
	uint64_t rsdp;
	uint64_t memory_map; /* from version 1 */
	uint32_t memory_map_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t address;
	uint64_t size;
	uint64_t command_line;
	uint64_t reserved;
};

struct pvh_map_entry {
	uint64_t address;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

/* What lies at BOOT_START_INFO_GPA. */
struct pvh_area {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_map_entry map[PVH_MAP_MAX];
};

static int elf_header_read(const struct boot_file *kernel, Elf64_Ehdr *header, struct error *err)
{
	int status = boot_file_read(kernel, 0, header, sizeof(*header), err);

	if (status < 0)
		return status;
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return error_set(err, -ENOEXEC,
				 "kernel %s: is an ELF file for machine %u, not for x86-64 (%u)",
				 kernel->path, header->e_machine, EM_X86_64);
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > ELF_SEGMENTS_MAX)
		return error_set(err, -ENOEXEC, "kernel %s: %u program headers of %u bytes",
				 kernel->path, header->e_phnum, header->e_phentsize);
	return 0;
}

/* Finds the PVH entry point in the notes of one PT_NOTE segment; 0 if it is not there. */
static uint32_t notes_find_entry(const uint8_t *notes, size_t length)
{
	size_t at = 0;

	while (length - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		size_t name, desc;
		uint32_t entry;

		memcpy(&note, notes + at, sizeof(note));
		name = at + sizeof(note);
		if (note.n_namesz > length || note.n_descsz > length)
			return 0;
		desc = name + ((note.n_namesz + 3ul) & ~3ul);
		at = desc + ((note.n_descsz + 3ul) & ~3ul);
		if (desc > length || note.n_descsz > length - desc || at > length)
			return 0;
		if (note.n_type == PVH_NOTE_TYPE && note.n_namesz == 4 &&
		    memcmp(notes + name, "Xen", 4) == 0 && note.n_descsz >= sizeof(entry)) {
			memcpy(&entry, notes + desc, sizeof(entry));
			return entry;
		}
	}
	return 0;
}

static int elf_find_entry(const struct boot_file *kernel, const Elf64_Phdr *segments,
			  unsigned count, uint32_t *entry, struct error *err)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t *notes;
		int status;

		if (segments[i].p_type != PT_NOTE || segments[i].p_filesz > ELF_NOTES_MAX)
			continue;
		notes = malloc(segments[i].p_filesz + 1);
		if (!notes)
			return error_set(err, -ENOMEM, "kernel %s: out of memory", kernel->path);
		status = boot_file_read(kernel, segments[i].p_offset, notes, segments[i].p_filesz,
					err);
		if (status == 0)
			*entry = notes_find_entry(notes, segments[i].p_filesz);
		free(notes);
		if (status < 0 || *entry)
			return status;
	}
	return error_set(err, -ENOEXEC, "kernel %s: has no PVH entry point (Xen note %u)",
			 kernel->path, PVH_NOTE_TYPE);
}

static int elf_read(const struct boot_file *kernel, Elf64_Phdr *segments, unsigned *count,
		    uint32_t *entry, struct error *err)
{
	Elf64_Ehdr header;
	int status = elf_header_read(kernel, &header, err);

	if (status < 0)
		return status;
	*count = header.e_phnum;
	*entry = 0;
	status = boot_file_read(kernel, header.e_phoff, segments, *count * sizeof(*segments), err);
	if (status < 0)
		return status;
	for (unsigned i = 0; i < *count; i++)
		if (segments[i].p_type == PT_LOAD &&
		    (segments[i].p_offset > kernel->size ||
		     segments[i].p_filesz > kernel->size - segments[i].p_offset ||
		     segments[i].p_filesz > segments[i].p_memsz))
			return error_set(err, -ENOEXEC, "kernel %s: is truncated at segment %u",
					 kernel->path, i);
	return elf_find_entry(kernel, segments, *count, entry, err);
}

int boot_elf_check(const struct boot_file *kernel, struct error *err)
{
	Elf64_Phdr segments[ELF_SEGMENTS_MAX];
	uint32_t entry;
	unsigned count;

	return elf_read(kernel, segments, &count, &entry, err);
}

static void pvh_map_add(void *opaque, uint64_t gpa, uint64_t size, bool usable)
{
	struct pvh_area *area = opaque;
	struct pvh_map_entry *entry = &area->map[area->info.memory_map_entries];

	if (area->info.memory_map_entries >= PVH_MAP_MAX)
		return;
	area->info.memory_map_entries++;
	entry->address = gpa;
	entry->size = size;
	entry->type = usable ? PVH_MEMORY_RAM : PVH_MEMORY_RESERVED;
}

static int segments_load(struct vm *vm, const Elf64_Phdr *segments, unsigned count, uint64_t *end,
			 struct error *err)
{
	const struct boot_file *kernel = &vm->boot.kernel;

	*end = 0;
	for (unsigned i = 0; i < count; i++) {
		const Elf64_Phdr *segment = &segments[i];
		uint8_t *hva;
		int status;

		if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
			continue;
		hva = memory_translate(&vm->memory, segment->p_paddr, segment->p_memsz);
		if (!hva || segment->p_paddr < BOOT_HIGH_START)
			return error_set(err, -E2BIG,
					 "kernel %s: segment %u (%llu bytes at 0x%llx) is not in "
					 "RAM from 1 MiB on",
					 kernel->path, i, (unsigned long long)segment->p_memsz,
					 (unsigned long long)segment->p_paddr);
		memory_back_huge(&vm->memory, segment->p_paddr, segment->p_memsz);
		status = boot_file_read(kernel, segment->p_offset, hva, segment->p_filesz, err);
		if (status < 0)
			return status;
		/* After a reset the memory still holds what the last run left there. */
		memset(hva + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
		if (segment->p_paddr + segment->p_memsz > *end)
			*end = segment->p_paddr + segment->p_memsz;
	}
	return 0;
}

int boot_elf_load(struct vm *vm, uint64_t rsdp, struct boot_entry *entry, struct error *err)
{
	Elf64_Phdr segments[ELF_SEGMENTS_MAX];
	struct pvh_area area = {
		.info =
			{
				.magic = PVH_MAGIC,
				.version = 1,
				.command_line = BOOT_CMDLINE_GPA,
				.rsdp = rsdp,
				.memory_map = BOOT_START_INFO_GPA + offsetof(struct pvh_area, map),
			},
	};
	uint64_t end, initrd;
	uint32_t rip;
	unsigned count;
	int status = elf_read(&vm->boot.kernel, segments, &count, &rip, err);

	if (status == 0)
		status = segments_load(vm, segments, count, &end, err);
	if (status == 0)
		status = boot_initrd_load(vm, end, MEMORY_HOLE_START, &initrd, err);
	if (status < 0)
		return status;
	if (initrd) {
		area.initrd.address = initrd;
		area.initrd.size = vm->boot.initrd.size;
		area.info.modules = BOOT_START_INFO_GPA + offsetof(struct pvh_area, initrd);
		area.info.module_count = 1;
	}
	boot_map_walk(vm, pvh_map_add, &area);
	if (memory_write(&vm->memory, BOOT_START_INFO_GPA, &area, sizeof(area)) < 0)
		return error_set(err, -EFAULT, "boot: low memory is missing");
	*entry = (struct boot_entry){.rip = rip, .argument = BOOT_START_INFO_GPA};
	return 0;
}
