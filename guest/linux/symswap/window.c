// SPDX-License-Identifier: GPL-2.0-only
/* A window of the VMM: claimed, checked, mapped. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>
#include "internal.h"

/* @header is a copy, read once. Sizes are used from this copy only. */
static int symswap_window_check(struct symswap_device *device, const struct sym_swap_header *header)
{
	u64 words_end, slots_end;

	if (header->magic != SYM_SWAP_MAGIC || header->version >> 16 != SYM_ABI_VERSION >> 16) {
		pr_err("window %u: unknown header, version %#x\n", device->index, header->version);
		return -EPROTO;
	}
	if (header->slots < 2 || header->slots > U32_MAX || header->size > SZ_1G * 1024ull ||
	    header->words_offset < sizeof(*header) || header->words_offset % sizeof(u32) ||
	    header->words_offset > header->size || header->slots_offset % PAGE_SIZE ||
	    header->slots_offset > header->size)
		goto bad;
	words_end = header->words_offset + header->slots * sizeof(u32);
	slots_end = header->slots_offset + (header->slots << PAGE_SHIFT);
	if (words_end > header->slots_offset || slots_end > header->size)
		goto bad;
	device->size = header->size;
	device->slots = header->slots;
	return 0;
bad:
	pr_err("window %u: %llu slots do not fit its %llu bytes\n", device->index, header->slots,
	       header->size);
	return -EPROTO;
}

/* No claim of an earlier kernel, which ended by kexec, may stay: nothing would give it back. */
static void symswap_window_settle(struct symswap_device *device)
{
	u64 slot;

	for (slot = 0; slot < device->slots; slot++) {
		symswap_slot_settle(device, slot);
		if (slot % PAGE_SIZE == 0)
			cond_resched();
	}
	WRITE_ONCE(device->header->mapped, 0);
}

static int symswap_window_map(struct symswap_device *device, const struct sym_swap_header *header)
{
	void *window;

	device->written = vzalloc(BITS_TO_LONGS(device->slots) * sizeof(long));
	if (!device->written)
		return -ENOMEM;
	if (symswap_table_device(device))
		goto out_free;
	window = memremap(device->gpa, device->size, MEMREMAP_WB);
	if (!window)
		goto out_forget;
	device->header = window;
	device->words = window + header->words_offset;
	device->data = window + header->slots_offset;
	symswap_window_settle(device);
	return 0;
out_forget:
	symswap_table_forget(device);
out_free:
	vfree(device->written);
	return -ENOMEM;
}

/*
 * symswap_window_open - claim the window at @gpa for this module alone, and map it
 *
 * Returns 0; -EPROTO (a wrong header or address), -EBUSY (that memory has another user), -ENOMEM.
 */
int symswap_window_open(struct symswap_device *device, u32 index, u64 gpa)
{
	struct sym_swap_header *header, *copy;
	int error;

	device->index = index;
	device->gpa = gpa;
	if (gpa % PAGE_SIZE)
		return -EPROTO;
	header = memremap(gpa, sizeof(*header), MEMREMAP_WB);
	if (!header)
		return -ENOMEM;
	copy = kmemdup(header, sizeof(*header), GFP_KERNEL);
	memunmap(header);
	if (!copy)
		return -ENOMEM;
	error = symswap_window_check(device, copy);
	if (error)
		goto out;
	/* Exclusive: /dev/mem must not reach swapped pages. */
	if (!request_mem_region_exclusive(gpa, device->size, SYMSWAP_NAME)) {
		error = -EBUSY;
		goto out;
	}
	error = symswap_window_map(device, copy);
	if (error)
		release_mem_region(gpa, device->size);
out:
	kfree(copy);
	return error;
}

void symswap_window_close(struct symswap_device *device)
{
	memunmap(device->header);
	release_mem_region(device->gpa, device->size);
	symswap_table_forget(device);
	vfree(device->written);
}
