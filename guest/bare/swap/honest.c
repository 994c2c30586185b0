// SPDX-License-Identifier: BSD-2-Clause
/* A swap device that keeps the rules, with less memory behind the window than it has slots. */
#include "virtio.h"
#include "window.h"

#define ENOSPC 28
#define EAGAIN 11

/* A quarter of a page that does not repeat. */
static void slot_fill(struct window *window, uint32_t slot, uint64_t seed)
{
	uint64_t at = window_slot(window, slot), x = (seed + slot) * 0x9e3779b97f4a7c15ull + 1;

	for (unsigned i = 0; i < SYM_PAGE_SIZE; i += 8) {
		if (i < SYM_PAGE_SIZE / 4) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		write64(at + i, x);
	}
}

static bool slot_holds(struct window *window, uint32_t slot, uint64_t seed)
{
	uint64_t at = window_slot(window, slot), x = (seed + slot) * 0x9e3779b97f4a7c15ull + 1;

	for (unsigned i = 0; i < SYM_PAGE_SIZE; i += 8) {
		if (i < SYM_PAGE_SIZE / 4) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
		}
		if (read64(at + i) != x)
			return false;
	}
	return true;
}

static bool slot_write(struct window *window, uint32_t slot, uint64_t seed)
{
	for (;;) {
		uint32_t word = window->words[slot];
		bool fresh = word == SYM_SLOT_FREE || word == SYM_SLOT_STORED;

		if (fresh && (window->header->flags & SYM_SWAP_FULL) &&
		    window_ring(SYM_DOORBELL_SWAP_RESERVE, slot) != 0)
			return false;
		if ((fresh || word == SYM_SLOT_RESIDENT || word == SYM_SLOT_COPYING) &&
		    window_change(window, slot, word, SYM_SLOT_WRITING))
			break;
		pause();
	}
	slot_fill(window, slot, seed);
	return window_change(window, slot, SYM_SLOT_WRITING, SYM_SLOT_RESIDENT);
}

static bool slot_verify(struct window *window, uint32_t slot, uint64_t seed)
{
	for (unsigned tries = 0; tries < 100000; tries++) {
		uint32_t word = window->words[slot];
		bool good;

		if (word == SYM_SLOT_STORED) {
			if (window_ring(SYM_DOORBELL_SWAP_FETCH, slot) != 0)
				delay_us(100);
		} else if (SYM_SLOT_STATE(word) == SYM_SLOT_OWNED) {
			delay_us(100); /* the VMM's thread may wait for a CPU of the host */
		} else if (word == SYM_SLOT_COPYING) {
			window_change(window, slot, word, SYM_SLOT_RESIDENT);
		} else if (word == SYM_SLOT_RESIDENT &&
			   window_change(window, slot, word, word + SYM_SLOT_READER)) {
			good = slot_holds(window, slot, seed);
			__atomic_fetch_sub(&window->words[slot], SYM_SLOT_READER, __ATOMIC_SEQ_CST);
			return good;
		}
		pause();
	}
	return false;
}

static void honest(void)
{
	struct window window;
	uint32_t written = 0, right = 0;
	uint64_t start;

	if (!window_find(&window))
		return;
	start = tsc();
	while (written < window.count && slot_write(&window, written, 1))
		written++;
	check(written == window.count, "%u of %u slots written", written, window.count);
	print("# swap-out %lu us a slot\n",
	      (tsc() - start) / (tsc_per_ms() / 1000 + 1) / (written + 1));
	start = tsc();
	for (uint32_t slot = 0; slot < written; slot++)
		right += slot_verify(&window, slot, 1);
	check(right == written, "%u of %u slots read back right", right, written);
	print("# swap-in %lu us a slot\n",
	      (tsc() - start) / (tsc_per_ms() / 1000 + 1) / (written + 1));
	check(window_ring(SYM_DOORBELL_SWAP_FETCH, window.count) == -22, "no slot beyond the last");
	check(window_ring(SYM_DOORBELL_SWAP_RESERVE, ~0ull) == -22, "nor far beyond it");
}
TEST("swap-honest", honest);

/* Memory types of the MTRRs: the window is write-back (SDM vol. 3A, 11.11). */
static void memory_type(void)
{
	struct window window;
	uint64_t value = 0, base, mask;
	unsigned covered = 0;

	if (!window_find(&window))
		return;
	msr_read(0x2ff, &value);
	check((value & 0x8ff) == 0x806, "the default memory type is write-back, and enabled");
	for (unsigned i = 0; i < 8; i++) {
		if (!msr_read(0x200 + 2 * i, &base) || !msr_read(0x201 + 2 * i, &mask) ||
		    !(mask & 0x800))
			continue;
		covered += ((uint64_t)window.header & mask & ~0xfffull) ==
			   (base & mask & ~0xfffull);
	}
	check(covered == 0, "no other type lies over the window");
}
TEST("swap-memory-type", memory_type);

/* The window is not RAM: a device must not read or write there. */
static void dma(void)
{
	struct window window;
	struct virtio device;
	struct part part = {.length = 64, .write = true};

	if (!window_find(&window) ||
	    !check(virtio_find(&device, VIRTIO_RNG, 0), "virtio-rng is there") ||
	    !check(virtio_start(&device, 0), "its driver starts"))
		return;
	window_change(&window, 3, SYM_SLOT_FREE, SYM_SLOT_WRITING);
	write64(window_slot(&window, 3), 0x1234);
	part.data = (const volatile void *)window_slot(&window, 3);
	check(virtio_request(&device, 0, &part, 1) < 0, "a request into the window is not served");
	check(read8(device.common + COMMON_STATUS) & STATUS_NEEDS_RESET, "the device has failed");
	check(read64(window_slot(&window, 3)) == 0x1234, "the slot is as it was");
	virtio_reset(&device);
}
TEST("swap-dma", dma);

#define RESET_VALUE 0x52 /* symvm/devices/acpi_power.c */

/* A reboot empties the store. */
static void reboot(void)
{
	struct window window;
	uint32_t used = 0, left = 0;

	if (!window_find(&window))
		return;
	if (cmos_read(CMOS_MEMORY) != 0xb7) {
		for (uint32_t slot = 0; slot < window.count; slot++)
			used += slot_write(&window, slot, 5);
		cmos_write(CMOS_MEMORY, 0xb7);
		print("# %u slots used\n", used);
		out8(PORT_POWER + 2, RESET_VALUE);
		for (;;)
			pause();
	}
	for (uint32_t slot = 0; slot < window.count; slot++)
		used += window.words[slot] != SYM_SLOT_FREE;
	for (uint32_t slot = 0; slot < 64; slot++)
		left += read64(window_slot(&window, slot)) != 0;
	check(used == 0, "after a reboot %u slots are in use", used);
	check(left == 0, "and %u of 64 have contents", left);
}
TEST("swap-reboot", reboot);
