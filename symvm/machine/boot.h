/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct kernel boot: bzImage by the 64-bit Linux boot protocol (Documentation/arch/x86/boot.rst),
 * ELF by PVH (Xen's start_info.h) or, without its note, by the 64-bit protocol, as Firecracker
 * does.
 */
#ifndef SYMVM_MACHINE_BOOT_H
#define SYMVM_MACHINE_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

struct log;
struct vm;
struct vcpu;

#define BOOT_RESET_FLAG_GPA  0x472ull /* BIOS data area, 40:72 */
#define BOOT_GDT_GPA	     0x500ull
#define BOOT_START_INFO_GPA  0x6000ull
#define BOOT_ZERO_PAGE_GPA   0x7000ull
#define BOOT_STACK_GPA	     0x8ff0ull
#define BOOT_PAGE_TABLES_GPA 0x9000ull /* PML4, PDPT, four page directories */
#define BOOT_CMDLINE_GPA     0x20000ull
#define BOOT_CMDLINE_MAX     0x10000ull
#define BOOT_LOW_END	     0x9fc00ull /* usable low memory ends; EBDA and video memory follow */
#define BOOT_RESET_GPA	     0xffff0ull /* FFFF:0000, where a PC's firmware starts */
#define BOOT_HIGH_START	     0x100000ull

struct boot_file {
	int fd;
	uint64_t size;
	const char *path; /* not owned */
};

/* The files stay open, because a guest reset reads them again, inside the jail. */
struct boot_source {
	struct boot_file kernel;
	struct boot_file initrd; /* fd -1: none */
	const char *command_line;
};

struct boot_entry {
	uint64_t rip;
	uint64_t argument; /* RSI (zero page) or RBX (start_info) */
	bool long_mode;	   /* else 32-bit protected mode without paging */
};

/*
 * Opens the files and checks their form as far as that is possible without memory. @command_line is
 * not copied. Main thread. -ENOENT, -EISDIR, -EINVAL, -ENOEXEC with words that name the file.
 */
int boot_source_open(struct boot_source *source, const char *kernel, const char *initrd,
		     const char *command_line, struct error *err);
/* Closes the files. Main thread; vCPUs have ended. */
void boot_source_close(struct boot_source *source);

/*
 * Loads kernel, initrd, command line, ACPI tables and page tables into guest memory. vCPUs parked.
 * -E2BIG if memory is too small, -EIO if a file became shorter; with words.
 */
int boot_load(struct vm *vm, struct boot_entry *entry, struct error *err);

/*
 * Whether the guest has announced a reset since boot_load(). Linux writes the reset flag of the
 * BIOS data area, 0 (cold) or 0x1234 (warm), before each kind of reboot. boot_load() sets another
 * value there. A triple fault after the announcement is a reboot (reboot=t), before it a crash. Any
 * thread. Linux arch/x86/kernel/reboot.c; IBM PC/AT Technical Reference, BIOS data area.
 */
bool boot_reset_announced(struct vm *vm);

/*
 * Warns of words in @command_line that do not have the effect here that users of other VMMs expect.
 * Any thread.
 */
void boot_hints_log(struct log *log, const char *command_line);

/* Sets the boot vCPU's registers for @entry. vCPU parked or not started. -errno with words. */
int boot_set_registers(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err);

/*
 * The two formats. check: -ENOEXEC or another -errno with words if @kernel does not have the
 * format. Main thread. load: as boot_load(); fills @entry. @rsdp is the address of the ACPI tables.
 */
int boot_linux_check(const struct boot_file *kernel, struct error *err);
int boot_linux_load(struct vm *vm, uint64_t rsdp, struct boot_entry *entry, struct error *err);
/*
 * Starts an ELF kernel that is below @end at its 64-bit entry @rip, with a zero page. As
 * boot_load().
 */
int boot_linux_start_elf(struct vm *vm, uint64_t rip, uint64_t end, uint64_t rsdp,
			 struct boot_entry *entry, struct error *err);
/* As boot_linux_check() and boot_linux_load(). */
int boot_elf_check(const struct boot_file *kernel, struct error *err);
int boot_elf_load(struct vm *vm, uint64_t rsdp, struct boot_entry *entry, struct error *err);

/*
 * Reads [@offset, @offset + @length) of @file into guest memory at @gpa. vCPUs parked. -errno with
 * words.
 */
int boot_file_load(struct vm *vm, const struct boot_file *file, uint64_t offset, uint64_t length,
		   uint64_t gpa, struct error *err);
/* Reads exactly @length bytes; -ENOEXEC if the file is shorter. Any thread. */
int boot_file_read(const struct boot_file *file, uint64_t offset, void *data, size_t length,
		   struct error *err);

/*
 * Loads the initrd below @limit and above @floor; @gpa is 0 if there is none. vCPUs parked. -errno
 * with words.
 */
int boot_initrd_load(struct vm *vm, uint64_t floor, uint64_t limit, uint64_t *gpa,
		     struct error *err);

/* The guest's memory map. @add is called for each range, from low to high addresses. Any thread. */
typedef void (*boot_map_add)(void *opaque, uint64_t gpa, uint64_t size, bool usable);
void boot_map_walk(struct vm *vm, boot_map_add add, void *opaque);

#endif
