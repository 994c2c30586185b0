// SPDX-License-Identifier: BSD-2-Clause
/*
 * Finds VMCOREINFO in a guest's memory. Linux writes it as a whole ELF note into pages of its own
 * when it boots (crash_save_vmcoreinfo_init(), update_vmcoreinfo_note()). So it is found without
 * any help of the guest, which may be dead. What is found is the guest's claim, like all else in
 * its memory.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/vmcore_internal.h"

#define NOTE_NAME  "VMCOREINFO"
#define NOTE_START "OSRELEASE="
#define NAME_SPACE 12u /* of NOTE_NAME with its end, padded */
#define HEAD_SIZE  (sizeof(Elf64_Nhdr) + NAME_SPACE)

/* Where Linux maps its own code and data, and a field of struct new_utsname (uapi/linux/utsname.h)
 */
#define KERNEL_MAP	0xffffffff80000000ull
#define KERNEL_MAP_SIZE (512ull << 20) /* with KASLR 1 GiB, which VMCOREINFO says */
#define UTS_FIELD	65u
#define UTS_RELEASE_AT	(2 * UTS_FIELD)

/* The length of the text of the note at @page, or 0. */
static size_t note_length(const uint8_t *page)
{
	Elf64_Nhdr header;

	memcpy(&header, page, sizeof(header));
	if (header.n_namesz != sizeof(NOTE_NAME) || header.n_type != 0 ||
	    header.n_descsz < sizeof(NOTE_START) || header.n_descsz > VMCOREINFO_MAX ||
	    memcmp(page + sizeof(header), NOTE_NAME, sizeof(NOTE_NAME)) != 0 ||
	    memcmp(page + HEAD_SIZE, NOTE_START, strlen(NOTE_START)) != 0)
		return 0;
	return header.n_descsz;
}

void vmcoreinfo_look(struct vmcoreinfo_finder *finder, const uint8_t *page, uint64_t gpa)
{
	if (finder->count < VMCOREINFO_FOUND && note_length(page))
		finder->gpa[finder->count++] = gpa;
}

/* Copies the text of the note at @gpa; its length, or 0. */
static size_t note_read(const struct guest_memory *memory, uint64_t gpa, char text[VMCOREINFO_MAX])
{
	uint8_t page[VMCORE_PAGE];
	size_t length;

	if (vmcore_read_ram(memory, gpa, page, sizeof(page)) < 0)
		return 0;
	length = note_length(page);
	if (!length || vmcore_read_ram(memory, gpa + HEAD_SIZE, text, length) < 0)
		return 0;
	return length;
}

/* The value of the line "KEY=VALUE" of @text, up to the line's end; NULL: there is none. */
static const char *value_of(const char *text, size_t length, const char *key, size_t *value_length)
{
	const char *at = text, *end = text + length;
	size_t key_length = strlen(key);

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *line_end = newline ? newline : end;

		if ((size_t)(line_end - at) > key_length && memcmp(at, key, key_length) == 0 &&
		    at[key_length] == '=') {
			*value_length = (size_t)(line_end - at) - key_length - 1;
			return at + key_length + 1;
		}
		at = newline ? newline + 1 : end;
	}
	return NULL;
}

static bool number_of(const char *text, size_t length, const char *key, int base, uint64_t *number)
{
	size_t size;
	const char *value = value_of(text, length, key, &size);
	char copy[32], *end;

	if (!value || size == 0 || size >= sizeof(copy))
		return false;
	memcpy(copy, value, size);
	copy[size] = '\0';
	*number = base == 16 ? strtoull(copy, &end, 16) : (uint64_t)strtoll(copy, &end, base);
	return *end == '\0';
}

bool vmcoreinfo_kernel(const char *text, size_t length, struct vmcore_kernel *kernel)
{
	uint64_t start, phys_base, size = KERNEL_MAP_SIZE;

	if (!number_of(text, length, "SYMBOL(_stext)", 16, &start) ||
	    !number_of(text, length, "NUMBER(phys_base)", 10, &phys_base))
		return false;
	number_of(text, length, "NUMBER(KERNEL_IMAGE_SIZE)", 10, &size);
	if (start < KERNEL_MAP || start - KERNEL_MAP >= size)
		return false;
	*kernel = (struct vmcore_kernel){
		.address = start,
		.gpa = start - KERNEL_MAP + phys_base,
		.size = size - (start - KERNEL_MAP),
	};
	return kernel->gpa % VMCORE_PAGE == 0 && start % VMCORE_PAGE == 0;
}

/* Whether the kernel whose note this is has its release where the note says. */
static bool is_confirmed(const struct guest_memory *memory, const char *text, size_t length)
{
	uint64_t symbol, field, phys_base;
	size_t release_length;
	const char *release = value_of(text, length, "OSRELEASE", &release_length);
	char found[UTS_FIELD];

	if (!release || release_length == 0 || release_length >= sizeof(found) ||
	    !number_of(text, length, "SYMBOL(init_uts_ns)", 16, &symbol) ||
	    !number_of(text, length, "OFFSET(uts_namespace.name)", 10, &field) ||
	    !number_of(text, length, "NUMBER(phys_base)", 10, &phys_base))
		return false;
	if (vmcore_read_ram(memory, symbol - KERNEL_MAP + phys_base + field + UTS_RELEASE_AT, found,
			    sizeof(found)) < 0)
		return false;
	return memcmp(found, release, release_length) == 0 && found[release_length] == '\0';
}

size_t vmcoreinfo_choose(const struct vmcoreinfo_finder *finder, const struct guest_memory *memory,
			 char text[VMCOREINFO_MAX])
{
	size_t length;

	for (unsigned i = 0; i < finder->count; i++) {
		length = note_read(memory, finder->gpa[i], text);
		if (length && is_confirmed(memory, text, length))
			return length;
	}
	for (unsigned i = 0; i < finder->count; i++) {
		length = note_read(memory, finder->gpa[i], text);
		if (length)
			return length;
	}
	return 0;
}
