/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vmcore: the guest's memory and its vCPUs' registers as an ELF64 core file, as QEMU's
 * dump-guest-memory and /proc/vmcore make it, for crash(8) and drgn(1).
 *
 *	0                ELF header, program headers, notes
 *	VMCORE_HEAD      RAM, one PT_LOAD for each region; pages of zeros are holes
 *
 * If VMCOREINFO says where the kernel is mapped, there is a further PT_LOAD for that, of the same
 * bytes.
 *
 * Notes: NT_PRSTATUS and QEMU's CPU state for each vCPU, and VMCOREINFO, which Linux keeps in its
 * memory (kernel/vmcore_info.c, in older kernels kernel/crash_core.c). The head is written last: a
 * file that is not complete is not an ELF file.
 */
#ifndef SYMVM_MACHINE_VMCORE_H
#define SYMVM_MACHINE_VMCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/vcpu_registers.h"
#include "memory/memory.h"
#include "util/error.h"

#define VMCORE_HEAD 65536u /* bytes before the first page of RAM */

struct vmcore {
	const struct guest_memory *memory;
	const struct vcpu_registers *cpus; /* zero if not known */
	unsigned cpu_count;		   /* at most VM_VCPUS_MAX */
	int fd; /* a regular file, open for reading and writing, not O_APPEND */
	/* Asked now and then: true ends the work with -ECANCELED. */
	bool (*cut)(void *opaque);
	void *opaque;
	/* Results. */
	uint64_t size;	     /* of the file */
	uint64_t written;    /* bytes of RAM that are not holes */
	bool has_vmcoreinfo; /* false: crash and drgn need other ways to understand the memory */
};

/*
 * Replaces the contents of @core->fd. The guest does not run (vm_hold()). It reads RAM by the
 * files behind it, so a page that the host cannot give is an error, and not a signal. Any thread
 * that may wait for a disk. -ENOSPC and other errors of the file, -ECANCELED; with words. The file
 * is then empty.
 */
int vmcore_write(struct vmcore *core, struct error *err);

#endif
