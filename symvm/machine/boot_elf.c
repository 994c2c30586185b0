// SPDX-License-Identifier: BSD-2-Clause
/*
 * ELF kernels (vmlinux and others) by the PVH protocol: pvh.pandoc in Xen's docs, and
 * xen/include/public/arch-x86/hvm/start_info.h. A kernel without the note that gives the PVH entry
 * starts at the ELF file's own entry, by the 64-bit Linux boot protocol.
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

struct elf_kernel {
	Elf64_Ehdr header;
	Elf64_Phdr segments[ELF_SEGMENTS_MAX];
	unsigned count;
	uint64_t entry; /* guest-physical */
	bool pvh;
};

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

/* The contents of guest memory at BOOT_START_INFO_GPA. */
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

/* The entry by PVH, from the notes; stays 0 if there is none. */
static int elf_find_pvh(const struct boot_file *kernel, struct elf_kernel *elf, struct error *err)
{
	for (unsigned i = 0; i < elf->count && !elf->entry; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
		uint8_t *notes;
		int status;

		if (segment->p_type != PT_NOTE || segment->p_filesz > ELF_NOTES_MAX)
			continue;
		notes = malloc(segment->p_filesz + 1);
		if (!notes)
			return error_set(err, -ENOMEM, "kernel %s: out of memory", kernel->path);
		status = boot_file_read(kernel, segment->p_offset, notes, segment->p_filesz, err);
		if (status == 0)
			elf->entry = notes_find_entry(notes, segment->p_filesz);
		free(notes);
		if (status < 0)
			return status;
	}
	elf->pvh = elf->entry != 0;
	return 0;
}

/*
 * The file's own entry, which is a physical address in Linux and a virtual one in others. 0 if the
 * file is not a kernel: a shared object, or a program for an interpreter.
 */
static uint64_t elf_find_own_entry(const struct elf_kernel *elf)
{
	uint64_t entry = elf->header.e_entry, physical = 0;

	if (elf->header.e_type != ET_EXEC)
		return 0;
	for (unsigned i = 0; i < elf->count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type == PT_INTERP)
			return 0;
		if (segment->p_type != PT_LOAD)
			continue;
		if (entry - segment->p_paddr < segment->p_memsz)
			return entry;
		if (entry - segment->p_vaddr < segment->p_memsz)
			physical = entry - segment->p_vaddr + segment->p_paddr;
	}
	return physical;
}

static int elf_read(const struct boot_file *kernel, struct elf_kernel *elf, struct error *err)
{
	int status = elf_header_read(kernel, &elf->header, err);

	if (status < 0)
		return status;
	elf->count = elf->header.e_phnum;
	elf->entry = 0;
	status = boot_file_read(kernel, elf->header.e_phoff, elf->segments,
				elf->count * sizeof(elf->segments[0]), err);
	if (status < 0)
		return status;
	for (unsigned i = 0; i < elf->count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];

		if (segment->p_type == PT_LOAD &&
		    (segment->p_offset > kernel->size ||
		     segment->p_filesz > kernel->size - segment->p_offset ||
		     segment->p_filesz > segment->p_memsz))
			return error_set(err, -ENOEXEC, "kernel %s: is truncated at segment %u",
					 kernel->path, i);
	}
	status = elf_find_pvh(kernel, elf, err);
	if (status == 0 && !elf->pvh)
		elf->entry = elf_find_own_entry(elf);
	if (status == 0 && !elf->entry)
		return error_set(err, -ENOEXEC,
				 "kernel %s: has neither a PVH entry point (Xen note %u) nor one "
				 "of its own in a segment: use the kernel's bzImage",
				 kernel->path, PVH_NOTE_TYPE);
	return status;
}

int boot_elf_check(const struct boot_file *kernel, struct error *err)
{
	struct elf_kernel elf;

	return elf_read(kernel, &elf, err);
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

static int segments_load(struct vm *vm, const struct elf_kernel *elf, uint64_t *end,
			 struct error *err)
{
	const struct boot_file *kernel = &vm->boot.kernel;

	*end = 0;
	for (unsigned i = 0; i < elf->count; i++) {
		const Elf64_Phdr *segment = &elf->segments[i];
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
		/* After a reset the memory still holds the contents of the last run. */
		memset(hva + segment->p_filesz, 0, segment->p_memsz - segment->p_filesz);
		if (segment->p_paddr + segment->p_memsz > *end)
			*end = segment->p_paddr + segment->p_memsz;
	}
	return 0;
}

/* The start by PVH of a kernel that is below @end. */
static int pvh_start(struct vm *vm, const struct elf_kernel *elf, uint64_t end, uint64_t rsdp,
		     struct boot_entry *entry, struct error *err)
{
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
	uint64_t initrd;
	int status = boot_initrd_load(vm, end, MEMORY_HOLE_START, &initrd, err);

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
	*entry = (struct boot_entry){.rip = elf->entry, .argument = BOOT_START_INFO_GPA};
	return 0;
}

int boot_elf_load(struct vm *vm, uint64_t rsdp, struct boot_entry *entry, struct error *err)
{
	struct elf_kernel elf;
	uint64_t end = 0;
	int status = elf_read(&vm->boot.kernel, &elf, err);

	if (status == 0)
		status = segments_load(vm, &elf, &end, err);
	if (status < 0)
		return status;
	return elf.pvh ? pvh_start(vm, &elf, end, rsdp, entry, err)
		       : boot_linux_start_elf(vm, elf.entry, end, rsdp, entry, err);
}
