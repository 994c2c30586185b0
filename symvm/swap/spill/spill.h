/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Storage for slots that memory has no room for: blocks of 4 KiB by number, in a file or at an NBD
 * server. The caller checks the data that comes back.
 */
#ifndef SYMVM_SWAP_SPILL_H
#define SYMVM_SWAP_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

#define SPILL_BLOCK 4096u

struct spill;

struct spill_ops {
	/* Both transfer @count blocks from @block on, on a thread that may wait; -errno for those
	 * alone. @data is aligned to SPILL_BLOCK. @lane: each thread has its own number below
	 * spill->lanes. */
	int (*read)(struct spill *spill, unsigned lane, uint64_t block, void *data, unsigned count);
	int (*write)(struct spill *spill, unsigned lane, uint64_t block, const void *data,
		     unsigned count);
	/* Transfers under way and later ones fail soon, with -ECANCELED. Any thread. Optional. */
	void (*stop)(struct spill *spill);
	/* Frees it; contents are gone. No transfer is under way. */
	void (*close)(struct spill *spill);
};

struct spill {
	const struct spill_ops *ops;
	unsigned lanes; /* threads that may use it at once */
};

#define SPILL_LANES 2u

/*
 * Opens "nbd://HOST[:PORT]/EXPORT", "nbd+unix:///EXPORT?socket=PATH" or a file for @blocks blocks.
 * A missing file is created; a file with other contents is refused. Main thread, before the jail
 * closes. Words in @err name the option --swap.
 */
int spill_open(const char *where, uint64_t blocks, struct spill **spill, struct error *err);
int spill_file_open(const char *path, uint64_t blocks, struct spill **spill, struct error *err);
int spill_nbd_open(const char *uri, uint64_t blocks, struct spill **spill, struct error *err);

#endif
