/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the files of symswap.ko. Other modules use nothing of it. */
#ifndef SYMSWAP_INTERNAL_H
#define SYMSWAP_INTERNAL_H

#include <linux/atomic.h>
#include <linux/blkdev.h>
#include <linux/types.h>
#include <linux/xarray.h>
#include <symbiotic/abi.h>
#include <symbiotic/symbiotic.h>

#define SYMSWAP_NAME "symswap"

/* Counters of one device, shown in /sys/block/symswapN/symbiotic/. X(name) */
#define SYMSWAP_STATS(X)                                                   \
	X(reads)	 /* slots read */                                  \
	X(reads_free)	 /* of these: without contents, zeros */           \
	X(writes)	 /* slots written */                               \
	X(frees)	 /* slots freed by the kernel */                   \
	X(fetches)	 /* doorbells for a stored slot */                 \
	X(reserves)	 /* doorbells for room */                          \
	X(refused)	 /* writes refused: no room within the budget */   \
	X(failed)	 /* reads of slots that the VMM lost */            \
	X(taken_back)	 /* slots taken back while the VMM copied them */  \
	X(waits)	 /* waits for a slot: the VMM's, or in use */      \
	X(decides)	 /* doorbells for a decision about a swap-in */    \
	X(decides_out)	 /* and about a swap-out */                        \
	X(waits_ram)	 /* swap-outs that waited for RAM */               \
	X(verdicts_copy) /* answers by kind */                             \
	X(verdicts_grant)                                                  \
	X(verdicts_map)                                                    \
	X(verdicts_other) /* refused doorbells, unknown kinds: copied */   \
	X(maps)		  /* faults answered by a mapping */               \
	X(maps_around)	  /* slots mapped with those */                    \
	X(maps_revoked)	  /* mappings revoked */                           \
	X(maps_lost)	  /* of these: PTE was gone, which is a bug */     \
	X(refused_vma)	  /* not plain private anonymous memory */         \
	X(refused_memcg)  /* under a cgroup's memory limit */              \
	X(refused_shared) /* the slot has another user, too */             \
	X(refused_stale)  /* contents are not in the slot: zswap, zeros */ \
	X(refused_budget) /* the VMM lacks memory */                       \
	X(refused_new)	  /* the process was not prepared yet */           \
	X(refused_busy)	  /* something changed meanwhile */                \
	X(refused_memory) /* none for the record */

enum symswap_stat {
#define SYMSWAP_STAT_ENUM(name) SYMSWAP_##name,
	SYMSWAP_STATS(SYMSWAP_STAT_ENUM)
#undef SYMSWAP_STAT_ENUM
		SYMSWAP_STAT_COUNT
};

struct kobject;
struct symswap_device;
struct swap_info_struct;
struct vm_area_struct;

/* How a cgroup's weight compares with the usual one. */
enum symswap_weight_class {
	SYMSWAP_WEIGHT_LIGHT,
	SYMSWAP_WEIGHT_USUAL,
	SYMSWAP_WEIGHT_HEAVY,
	SYMSWAP_WEIGHT_CLASSES,
};

/* The VMM's last answer to one kind of question, and the number of swap-ins it still holds for. */
struct symswap_credit {
	atomic_t left;
	u32 epoch; /* of the policy that gave it; the asking task writes this and the rest */
	u32 kind;  /* SYM_VERDICT_* */
	u32 around;
};

/* By this slot.c revokes mappings of slots, without knowing how they are made. */
struct symswap_revoke {
	/* Revokes the mapping of this slot. Does not sleep. */
	void (*slot)(struct symswap_device *device, u64 slot);
	/* Revokes up to @most mappings, and returns their number. Does not sleep. */
	unsigned long (*some)(struct symswap_device *device, unsigned long most);
};
extern const struct symswap_revoke symswap_map_revoke; /* map_table.c */

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
	const struct symswap_revoke *revoke;
	atomic_t asking;
	/* Each class of weights has its own: no class spends the credit of another. */
	struct symswap_credit copy[SYMSWAP_WEIGHT_CLASSES]; /* for reads */
	struct symswap_credit map[SYMSWAP_WEIGHT_CLASSES];  /* for faults that might be mapped */
	atomic_t impatient;				    /* waits for RAM that are left out */
	struct symswap_credit out; /* for writes: reclaim is nobody's own */
	unsigned long *written;	   /* slots whose contents came from the kernel, a bit each */
	unsigned long *mapped;	   /* slots that are mapped, a bit each */
	pte_t ***where;		   /* pointers to their notes, in pages (map_table.c) */
	bool testing;		   /* the self-test runs: mappings replace empty PTEs */
	atomic_long_t mapped_count;
	unsigned long revoke_next;
	atomic64_t stats[SYMSWAP_STAT_COUNT];
};

static inline void symswap_count(struct symswap_device *device, enum symswap_stat stat)
{
	atomic64_inc(&device->stats[stat]);
}

static inline void symswap_count_more(struct symswap_device *device, enum symswap_stat stat,
				      unsigned int more)
{
	atomic64_add(more, &device->stats[stat]);
}

/* window.c */
int symswap_window_open(struct symswap_device *device, u32 index, u64 gpa);
void symswap_window_close(struct symswap_device *device);

/* slot.c: @slot is in range. Those that return an int may sleep, the others do not. */
int symswap_slot_read(struct symswap_device *device, u64 slot, unsigned int offset, void *to,
		      unsigned int length);
int symswap_slot_write(struct symswap_device *device, u64 slot, unsigned int offset,
		       const void *from, unsigned int length);
void symswap_slot_free(struct symswap_device *device, u64 slot);
int symswap_slot_bring(struct symswap_device *device, u64 slot);
bool symswap_slot_resident(struct symswap_device *device, u64 slot);
bool symswap_slot_map(struct symswap_device *device, u64 slot);
void symswap_slot_unmap(struct symswap_device *device, u64 slot);
void symswap_slot_settle(struct symswap_device *device, u64 slot);

/* block.c */
int symswap_block_start(void);
void symswap_block_stop(void);
int symswap_block_add(struct symswap_device *device);
void symswap_block_remove(struct symswap_device *device);

/* devices.c */
void symswap_device_set(unsigned int index, struct symswap_device *device);
struct symswap_device *symswap_device_of(const struct swap_info_struct *info);
void symswap_devices_each(void (*visit)(struct symswap_device *device));
struct symswap_device *symswap_device_find(u64 index);
struct symswap_device *symswap_device_number(dev_t number);
struct symswap_device *symswap_device_any(void);

/* map.c, map_table.c */
int symswap_table_device(struct symswap_device *device);
void symswap_table_forget(struct symswap_device *device);
void symswap_map_start(struct kobject *kobject);
void symswap_map_stop(void);
bool symswap_map_active(void);
void symswap_revoke_all(struct symswap_device *device);
unsigned long symswap_revoke_some(struct symswap_device *device, unsigned long most);

/* verdict.c */
void symswap_verdict_ask(struct symswap_device *device, u64 slot);
void symswap_verdict_out(struct symswap_device *device, u64 slot);
bool symswap_verdict_map(struct symswap_device *device, u64 slot, const struct vm_area_struct *vma,
			 unsigned long address, unsigned int *around);

/* query.c */
int symswap_query_start(void);
void symswap_query_stop(void);
void symswap_query_about(const struct vm_area_struct *vma, unsigned long address);

/* weights.c */
#define SYMSWAP_WEIGHT_DEFAULT 100u
u32 symswap_weight(void);
enum symswap_weight_class symswap_weight_class(void);
int symswap_weights_start(void);
struct kobject *symswap_weights_folder(void);
void symswap_weights_stop(void);

/* sysfs.c */
extern const struct attribute_group *symswap_groups[];

#endif
