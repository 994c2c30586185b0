// SPDX-License-Identifier: BSD-2-Clause
#include "machine/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/acpi.h"
#include "machine/address_map.h"
#include "machine/vm.h"

#define PTE_PRESENT   0x1ull
#define PTE_WRITABLE  0x2ull
#define PTE_LARGE     0x80ull
#define IDENTITY_GIBS 4u
#define CR0_PE	      0x1ull
#define CR0_ET	      0x10ull
#define CR0_NE	      0x20ull
#define CR0_WP	      0x10000ull
#define CR0_PG	      0x80000000ull
#define CR4_PAE	      0x20ull
#define EFER_LME_LMA  0x500ull

/* See boot_reset_announced(). */
#define RESET_FLAG_COLD 0u
#define RESET_FLAG_WARM 0x1234u
#define RESET_FLAG_NONE 0x5359u

/* Flat segments at the selectors that the boot protocol requires: CS 0x10, DS 0x18. */
static const uint64_t boot_gdt[] = {
	0,
	0,
	0x00af9b000000ffffull, /* 0x10: 64-bit code */
	0x00cf93000000ffffull, /* 0x18: data */
	0x00cf9b000000ffffull, /* 0x20: 32-bit code, for PVH */
};

static int file_open(struct boot_file *file, const char *what, const char *path, struct error *err)
{
	struct stat status;
	uint64_t bytes;

	file->path = path;
	/* Not blocking: opening a FIFO would wait. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0)
		return error_set_errno(err, -errno, "%s %s", what, path);
	if (fstat(file->fd, &status) < 0)
		return error_set_errno(err, -errno, "%s %s", what, path);
	if (S_ISDIR(status.st_mode))
		return error_set(err, -EISDIR, "%s %s: is a directory", what, path);
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return error_set(err, -EINVAL, "%s %s: is neither a file nor a block device", what,
				 path);
	file->size = (uint64_t)status.st_size;
	if (S_ISBLK(status.st_mode) && ioctl(file->fd, BLKGETSIZE64, &bytes) == 0)
		file->size = bytes;
	if (file->size == 0)
		return error_set(err, -EINVAL, "%s %s: is empty", what, path);
	return 0;
}

static bool is_elf(const struct boot_file *file)
{
	char magic[4];

	return pread(file->fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	       memcmp(magic, "\177ELF", sizeof(magic)) == 0;
}

int boot_source_open(struct boot_source *source, const char *kernel, const char *initrd,
		     const char *command_line, struct error *err)
{
	int status;

	source->kernel.fd = source->initrd.fd = -1;
	source->command_line = command_line ? command_line : "";
	if (strlen(source->command_line) >= BOOT_CMDLINE_MAX)
		return error_set(err, -E2BIG, "kernel command line: longer than %llu bytes",
				 BOOT_CMDLINE_MAX - 1);
	status = file_open(&source->kernel, "kernel", kernel, err);
	if (status == 0)
		status = is_elf(&source->kernel) ? boot_elf_check(&source->kernel, err)
						 : boot_linux_check(&source->kernel, err);
	if (status == 0 && initrd)
		status = file_open(&source->initrd, "initrd", initrd, err);
	if (status < 0)
		boot_source_close(source);
	return status;
}

void boot_source_close(struct boot_source *source)
{
	if (source->kernel.fd >= 0)
		close(source->kernel.fd);
	if (source->initrd.fd >= 0)
		close(source->initrd.fd);
	source->kernel.fd = source->initrd.fd = -1;
}

/* Identity-maps the first 4 GiB with 2 MiB pages. */
static int page_tables_build(struct vm *vm)
{
	uint64_t tables[512 * (2 + IDENTITY_GIBS)] = {0};
	uint64_t base = BOOT_PAGE_TABLES_GPA;

	tables[0] = (base + 4096) | PTE_PRESENT | PTE_WRITABLE;
	for (unsigned gib = 0; gib < IDENTITY_GIBS; gib++) {
		tables[512 + gib] = (base + 4096 * (2 + gib)) | PTE_PRESENT | PTE_WRITABLE;
		for (unsigned i = 0; i < 512; i++)
			tables[512 * (2 + gib) + i] = ((uint64_t)gib << 30 | (uint64_t)i << 21) |
						      PTE_PRESENT | PTE_WRITABLE | PTE_LARGE;
	}
	return memory_write(&vm->memory, base, tables, sizeof(tables));
}

/*
 * This is the whole firmware. On hardware-reduced ACPI Linux reboots by EFI, or without EFI by a
 * jump to the BIOS in real mode (arch/x86/kernel/reboot.c); that jump must reset the VM. Port and
 * value are those of the reset register in acpi/fadt.asl.
 */
static const uint8_t reset_stub[] = {
	0xba, 0x02, 0x06, /* mov dx, 0x602 */
	0xb0, 0x52,	  /* mov al, 0x52 */
	0xee,		  /* out dx, al */
	0xf4,		  /* hlt */
	0xeb, 0xfd,	  /* jmp to the hlt */
};

bool boot_reset_announced(struct vm *vm)
{
	uint16_t flag = RESET_FLAG_NONE;

	return memory_read(&vm->memory, BOOT_RESET_FLAG_GPA, &flag, sizeof(flag)) == 0 &&
	       (flag == RESET_FLAG_COLD || flag == RESET_FLAG_WARM);
}

int boot_load(struct vm *vm, struct boot_entry *entry, struct error *err)
{
	const char *command_line = vm->boot.command_line;
	const uint16_t flag = RESET_FLAG_NONE;
	uint64_t rsdp;
	int status = acpi_build(&vm->memory, vm->config.cpus, &rsdp, err);

	if (status < 0)
		return status;
	if (page_tables_build(vm) < 0 ||
	    memory_write(&vm->memory, BOOT_RESET_FLAG_GPA, &flag, sizeof(flag)) < 0 ||
	    memory_write(&vm->memory, BOOT_GDT_GPA, boot_gdt, sizeof(boot_gdt)) < 0 ||
	    memory_write(&vm->memory, BOOT_RESET_GPA, reset_stub, sizeof(reset_stub)) < 0 ||
	    memory_write(&vm->memory, BOOT_CMDLINE_GPA, command_line, strlen(command_line) + 1) < 0)
		return error_set(err, -EFAULT, "boot: low memory is missing");
	if (is_elf(&vm->boot.kernel))
		return boot_elf_load(vm, rsdp, entry, err);
	return boot_linux_load(vm, rsdp, entry, err);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.l = long_mode,
		.db = !long_mode,
		.g = 1,
	};
}

int boot_set_registers(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err)
{
	struct kvm_regs regs = {.rip = entry->rip, .rflags = 2, .rsp = BOOT_STACK_GPA};
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return error_set_errno(err, -errno, "KVM_GET_SREGS");
	sregs.cs = entry->long_mode ? flat_segment(0x10, 0xb, true)
				    : flat_segment(0x20, 0xb, false);
	sregs.ds = sregs.es = sregs.ss = flat_segment(0x18, 0x3, false);
	sregs.fs = sregs.gs = sregs.ds;
	sregs.gdt.base = BOOT_GDT_GPA;
	sregs.gdt.limit = sizeof(boot_gdt) - 1;
	sregs.idt.base = sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (entry->long_mode) {
		sregs.cr3 = BOOT_PAGE_TABLES_GPA;
		sregs.cr4 |= CR4_PAE;
		sregs.cr0 |= CR0_PG | CR0_WP;
		sregs.efer |= EFER_LME_LMA;
		regs.rsi = entry->argument;
	} else {
		regs.rbx = entry->argument;
	}
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return error_set_errno(err, -errno, "KVM_SET_SREGS");
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return error_set_errno(err, -errno, "KVM_SET_REGS");
	return 0;
}
