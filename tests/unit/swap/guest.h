/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest of the slot store that keeps the rules of abi.h, in this process: it touches a mapping of
 * the window that the store guards, as KVM does on a guest's behalf.
 */
#ifndef SWAP_TEST_GUEST_H
#define SWAP_TEST_GUEST_H

#include <stdbool.h>
#include <symbiotic/abi.h>

#include "swap/store/store.h"

#define MIB	(1ull << 20)
#define OVERRUN (2 * MIB) /* memory that the store may hold beyond its budget */

struct guest {
	struct swap_store *store;
	struct log log;
	int fd;
	uint64_t window_size;
	struct sym_swap_header *header; /* in the guarded mapping */
	uint32_t *words;
	uint8_t *slots;
	uint32_t count;
};

/* Makes a store, guarded and running. @spill may be NULL. Fails the test on an error. */
void guest_create(struct guest *guest, uint64_t size, uint64_t budget, enum swap_codec_kind codec,
		  const char *spill);
void guest_destroy(struct guest *guest);

/* Contents that @seed gives; compressible: most of a page repeats. */
void guest_fill(uint8_t page[4096], uint64_t seed, bool compressible);

/* 0; -ENOSPC; -EIO: the slot was lost. */
int guest_write(struct guest *guest, uint32_t slot, const uint8_t page[4096]);
/* 0; -EIO; -ENOENT if the slot is free; -ETIMEDOUT. */
int guest_read(struct guest *guest, uint32_t slot, uint8_t page[4096]);
void guest_free(struct guest *guest, uint32_t slot);

/* Host memory of the window's slots as the kernel counts it, and what the store says it uses. */
uint64_t guest_slot_bytes(const struct guest *guest);
uint64_t guest_counter(const struct guest *guest, const char *name);
void sleep_ms(unsigned ms);

#endif
