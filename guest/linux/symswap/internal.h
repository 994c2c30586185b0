/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the files of symswap.ko; nothing here is for other modules. */
#ifndef SYMSWAP_INTERNAL_H
#define SYMSWAP_INTERNAL_H

#include <linux/atomic.h>
#include <linux/blkdev.h>
#include <linux/types.h>
#include <symbiotic/abi.h>
#include <symbiotic/symbiotic.h>

#define SYMSWAP_NAME "symswap"

/* Counters of one device, shown in /sys/block/symswapN/symbiotic/. X(name) */
#define SYMSWAP_STATS(X)                                                      \
	X(reads)            /* slots read */                                  \
	X(reads_free)       /* of these: had no contents, read as zeros */    \
	X(writes)           /* slots written */                               \
	X(frees)            /* slots freed by the kernel */                   \
	X(fetches)          /* doorbells for a stored slot */                 \
	X(reserves)         /* doorbells for room */                          \
	X(refused)          /* writes refused: no room within the budget */   \
	X(failed)           /* reads of slots that the VMM lost */            \
	X(taken_back)       /* slots taken back while the VMM copied them */  \
	X(waits)            /* times a slot was the VMM's own */              \
	X(decides)          /* doorbells for a decision */                    \
	X(verdicts_copy)    /* answers by kind */                             \
	X(verdicts_grant)                                                     \
	X(verdicts_map)                                                       \
	X(verdicts_other)   /* refused doorbells, unknown kinds: copied */

enum symswap_stat {
#define SYMSWAP_STAT_ENUM(name) SYMSWAP_##name,
	SYMSWAP_STATS(SYMSWAP_STAT_ENUM)
#undef SYMSWAP_STAT_ENUM
	SYMSWAP_STAT_COUNT
};

/* One window of the VMM, and its block device. */
struct symswap_device {
	u32 index;
	u64 gpa;
	u64 size;
	u64 slots;
	struct sym_swap_header *header; /* the VMM may change it at any time */
	u32 *words;
	u8 *data;
	struct gendisk *disk;
	atomic_t credit; /* swap-ins until the next question */
	atomic_t asking;
	u32 epoch; /* of the policy that gave the credit; written by the one that asks */
	atomic64_t stats[SYMSWAP_STAT_COUNT];
};

static inline void symswap_count(struct symswap_device *device, enum symswap_stat stat)
{
	atomic64_inc(&device->stats[stat]);
}

/* window.c */
int symswap_window_open(struct symswap_device *device, u32 index, u64 gpa);
void symswap_window_close(struct symswap_device *device);

/* slot.c: @slot is in range */
int symswap_slot_read(struct symswap_device *device, u64 slot, unsigned int offset, void *to,
		      unsigned int length);
int symswap_slot_write(struct symswap_device *device, u64 slot, unsigned int offset,
		       const void *from, unsigned int length);
void symswap_slot_free(struct symswap_device *device, u64 slot);

/* block.c */
int symswap_block_start(void);
void symswap_block_stop(void);
int symswap_block_add(struct symswap_device *device);
void symswap_block_remove(struct symswap_device *device);

/* verdict.c */
void symswap_verdict_ask(struct symswap_device *device, u64 slot);

/* query.c */
int symswap_query_start(void);
void symswap_query_stop(void);

/* weights.c */
#define SYMSWAP_WEIGHT_DEFAULT 100u
u32 symswap_weight(const char *cgroup);
int symswap_weights_start(void);
void symswap_weights_stop(void);

/* view.c */
extern const struct attribute_group *symswap_groups[];

#endif
