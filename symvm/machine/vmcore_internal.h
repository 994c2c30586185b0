/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of vmcore.h share. Only machine/vmcore*.c include it. */
#ifndef SYMVM_MACHINE_VMCORE_INTERNAL_H
#define SYMVM_MACHINE_VMCORE_INTERNAL_H

#include <stddef.h>

#include "machine/vmcore.h"

#define VMCORE_PAGE	 4096u
#define VMCOREINFO_MAX	 4096u /* VMCOREINFO_BYTES of Linux: a page */
#define VMCOREINFO_FOUND 8u    /* candidates that are kept */

/* The places in RAM that look like the note VMCOREINFO. */
struct vmcoreinfo_finder {
	uint64_t gpa[VMCOREINFO_FOUND];
	unsigned count;
};

/* Looks at one page of RAM, at @gpa: the note begins on a page's first byte. */
void vmcoreinfo_look(struct vmcoreinfo_finder *finder, const uint8_t *page, uint64_t gpa);

/*
 * Copies the text of the best candidate to @text, and returns its length; 0: there is none. The
 * best one names the release of the kernel that really is in memory: another kernel's note may be
 * left over from before a kexec, or be part of a file that the guest has read.
 */
size_t vmcoreinfo_choose(const struct vmcoreinfo_finder *finder, const struct guest_memory *memory,
			 char text[VMCOREINFO_MAX]);

/* Where the kernel that the note describes is mapped, from its text's start on. */
struct vmcore_kernel {
	uint64_t address; /* virtual */
	uint64_t gpa;
	uint64_t size; /* bytes, at most: the mapping may end before */
};

/* Finds that in the @length bytes of VMCOREINFO at @text. False: it does not say. */
bool vmcoreinfo_kernel(const char *text, size_t length, struct vmcore_kernel *kernel);

/*
 * Makes the head of the file of @core: the notes, with @info_size bytes of VMCOREINFO at @info
 * (0: none), and all headers. @head: VMCORE_HEAD bytes.
 */
void vmcore_head_make(const struct vmcore *core, const char *info, size_t info_size, uint8_t *head);

/* Reads @size bytes of RAM at @gpa by the file behind it. 0, -EFAULT (not RAM), -errno. */
int vmcore_read_ram(const struct guest_memory *memory, uint64_t gpa, void *out, size_t size);

#endif
