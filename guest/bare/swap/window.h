/* SPDX-License-Identifier: BSD-2-Clause */
/* The first window of the slot store, seen from a bare guest. */
#ifndef GUEST_BARE_SWAP_WINDOW_H
#define GUEST_BARE_SWAP_WINDOW_H

#include "runtime.h"
#include <symbiotic/abi.h>

struct window {
	volatile struct sym_swap_header *header;
	volatile uint32_t *words;
	uint64_t slots; /* address of the first */
	uint32_t count;
};

/* Registers SymSpy pages and finds the window. Checks each step. */
bool window_find(struct window *window);
/* Rings. Returns the verdict, or -1000 if the VMM did not answer. */
int64_t window_ring(uint32_t reason, uint64_t slot);
bool window_change(struct window *window, uint32_t slot, uint32_t from, uint32_t to);

static inline uint64_t window_slot(const struct window *window, uint32_t slot)
{
	return window->slots + (uint64_t)slot * SYM_PAGE_SIZE;
}

#endif
