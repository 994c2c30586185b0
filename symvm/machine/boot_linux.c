// SPDX-License-Identifier: BSD-2-Clause
/*
 * The 64-bit entry, of bzImage and of ELF files without a PVH note:
 * Documentation/arch/x86/boot.rst, protocol 2.12 and later.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <string.h>

#include "machine/boot.h"
#include "machine/vm.h"

#define SETUP_HEADER_OFFSET 0x1f1u
#define SETUP_HEADER_END    0x280u
#define SECTOR		    512u
#define BOOT_FLAG	    0xaa55u
#define HDRS_MAGIC	    0x53726448u /* "HdrS" */
#define PROTOCOL_MINIMUM    0x020cu
#define LOADER_UNDEFINED    0xffu
#define ELF_ALIGNMENT	    0x1000000u
#define ENTRY_64_OFFSET	    0x200u
#define ARM64_MAGIC_OFFSET  56u
#define E820_USABLE	    1u
#define E820_RESERVED	    2u

static int header_read(const struct boot_file *kernel, struct boot_params *params,
		       struct error *err)
{
	char magic[4] = "";
	int status;

	if (kernel->size < SETUP_HEADER_END)
		return error_set(err, -ENOEXEC, "kernel %s: %llu bytes are too few for a bzImage",
				 kernel->path, (unsigned long long)kernel->size);
	memset(params, 0, sizeof(*params));
	status = boot_file_read(kernel, SETUP_HEADER_OFFSET, &params->hdr, sizeof(params->hdr),
				err);
	if (status < 0)
		return status;
	status = boot_file_read(kernel, ARM64_MAGIC_OFFSET, magic, sizeof(magic), err);
	if (status == 0 && memcmp(magic, "ARM\x64", 4) == 0)
		return error_set(err, -ENOEXEC, "kernel %s: is for arm64, not for x86-64",
				 kernel->path);
	return status;
}

int boot_linux_check(const struct boot_file *kernel, struct error *err)
{
	struct boot_params params;
	const struct setup_header *header = &params.hdr;
	int status = header_read(kernel, &params, err);
	uint64_t expected;

	if (status < 0)
		return status;
	if (header->boot_flag != BOOT_FLAG || header->header != HDRS_MAGIC)
		return error_set(err, -ENOEXEC, "kernel %s: is neither a bzImage nor an ELF file",
				 kernel->path);
	if (header->version < PROTOCOL_MINIMUM)
		return error_set(err, -ENOEXEC, "kernel %s: boot protocol %u.%02u, need 2.12",
				 kernel->path, header->version >> 8, header->version & 0xff);
	if (!(header->xloadflags & XLF_KERNEL_64))
		return error_set(err, -ENOEXEC, "kernel %s: is a 32-bit x86 kernel, not x86-64",
				 kernel->path);
	expected = ((header->setup_sects ? header->setup_sects : 4) + 1ull) * SECTOR +
		   (uint64_t)header->syssize * 16;
	/* The header counts in paragraphs; the file may end within the last one. */
	if (kernel->size + 15 < expected)
		return error_set(err, -ENOEXEC, "kernel %s: is truncated: %llu bytes of %llu",
				 kernel->path, (unsigned long long)kernel->size,
				 (unsigned long long)expected);
	return 0;
}

static void e820_add(void *opaque, uint64_t gpa, uint64_t size, bool usable)
{
	struct boot_params *params = opaque;
	struct boot_e820_entry *entry;

	if (params->e820_entries >= E820_MAX_ENTRIES_ZEROPAGE)
		return;
	entry = &params->e820_table[params->e820_entries++];
	entry->addr = gpa;
	entry->size = size;
	entry->type = usable ? E820_USABLE : E820_RESERVED;
}

static int initrd_place(struct vm *vm, struct boot_params *params, uint64_t kernel_end,
			struct error *err)
{
	uint64_t limit = (uint64_t)params->hdr.initrd_addr_max + 1;
	uint64_t gpa;
	int status = boot_initrd_load(vm, kernel_end, limit, &gpa, err);

	if (status < 0 || gpa == 0)
		return status;
	params->hdr.ramdisk_image = (uint32_t)gpa;
	params->hdr.ramdisk_size = (uint32_t)vm->boot.initrd.size;
	return 0;
}

/* Fills in the fields that do not come from the kernel's file, and returns the entry. */
static int zero_page_write(struct vm *vm, struct boot_params *params, uint64_t rsdp, uint64_t rip,
			   struct boot_entry *entry, struct error *err)
{
	params->hdr.type_of_loader = LOADER_UNDEFINED;
	params->hdr.cmd_line_ptr = (uint32_t)BOOT_CMDLINE_GPA;
	params->acpi_rsdp_addr = rsdp;
	boot_map_walk(vm, e820_add, params);
	if (memory_write(&vm->memory, BOOT_ZERO_PAGE_GPA, params, sizeof(*params)) < 0)
		return error_set(err, -EFAULT, "boot: low memory is missing");
	*entry = (struct boot_entry){
		.rip = rip,
		.argument = BOOT_ZERO_PAGE_GPA,
		.long_mode = true,
	};
	return 0;
}

int boot_linux_start_elf(struct vm *vm, uint64_t rip, uint64_t end, uint64_t rsdp,
			 struct boot_entry *entry, struct error *err)
{
	/* An ELF file has no setup header: these are the fields that kernels read at least. */
	struct boot_params params = {
		.hdr = {.boot_flag = BOOT_FLAG,
			.header = HDRS_MAGIC,
			.version = PROTOCOL_MINIMUM,
			.loadflags = LOADED_HIGH,
			.kernel_alignment = ELF_ALIGNMENT,
			.initrd_addr_max = UINT32_MAX >> 1,
			.cmdline_size = (uint32_t)strlen(vm->boot.command_line)},
	};
	int status = initrd_place(vm, &params, end, err);

	return status < 0 ? status : zero_page_write(vm, &params, rsdp, rip, entry, err);
}

int boot_linux_load(struct vm *vm, uint64_t rsdp, struct boot_entry *entry, struct error *err)
{
	const struct boot_file *kernel = &vm->boot.kernel;
	uint64_t offset, load, end;
	struct boot_params params;
	int status = boot_linux_check(kernel, err);

	if (status == 0)
		status = header_read(kernel, &params, err);
	if (status < 0)
		return status;
	if (params.hdr.cmdline_size && strlen(vm->boot.command_line) > params.hdr.cmdline_size)
		return error_set(err, -E2BIG, "kernel command line: longer than %u bytes",
				 params.hdr.cmdline_size);
	offset = ((params.hdr.setup_sects ? params.hdr.setup_sects : 4) + 1ull) * SECTOR;
	load = params.hdr.pref_address >= BOOT_HIGH_START ? params.hdr.pref_address
							  : BOOT_HIGH_START;
	end = load + params.hdr.init_size;
	if (!memory_translate(&vm->memory, load, params.hdr.init_size ? params.hdr.init_size : 1))
		return error_set(err, -E2BIG,
				 "kernel %s: needs memory up to %llu MiB, the guest has %llu MiB",
				 kernel->path, (unsigned long long)(end >> 20),
				 (unsigned long long)(vm->memory.ram_size >> 20));
	/* Not up to the end: a kernel that unpacks itself chooses its place (KASLR). */
	memory_back_huge(&vm->memory, load, kernel->size - offset);
	status = boot_file_load(vm, kernel, offset, kernel->size - offset, load, err);
	if (status == 0)
		status = initrd_place(vm, &params, end, err);
	if (status < 0)
		return status;
	return zero_page_write(vm, &params, rsdp, load + ENTRY_64_OFFSET, entry, err);
}
