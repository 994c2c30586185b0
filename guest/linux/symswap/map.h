/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by map*.c: slots mapped where they are. A mapping is a PTE in place of a
 * swap PTE of private anonymous memory; its slot's word says MAPPED as long as it is there.
 *
 * Locks, outer first: symswap_mm.lock, the page table's lock, locks of xarrays. All of them are
 * spinlocks; the TLB is flushed under the first. Freeing a slot takes none of them: it comes
 * with the page table's lock held.
 */
#ifndef SYMSWAP_MAP_H
#define SYMSWAP_MAP_H

#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/xarray.h>
#include "internal.h"

/* An mm in which slots may be mapped. Under RCU, or while its task is in a fault. */
struct symswap_mm {
	struct mmu_notifier notifier; /* has the mm, and keeps it */
	struct hlist_node hash;
	spinlock_t lock;	   /* guards what follows, and that nothing is mapped meanwhile */
	struct xarray tables;	   /* page table and device -> struct symswap_table */
	unsigned int invalidating; /* ranges that are being changed, all of them within: */
	unsigned long start, end;
	unsigned long next;  /* where the pages end that the last fault mapped */
	unsigned int window; /* how many these were */
	bool dead;
	unsigned long put; /* bit 0: somebody gave the notifier up */
	struct rcu_head rcu;
};

/* Keys of symswap_mm.tables: the number of the page table, then that of the device. */
#define SYMSWAP_TABLE_SHIFT 2
static_assert(SYM_SWAP_WINDOWS_MAX == 1 << SYMSWAP_TABLE_SHIFT);

/*
 * Slots of a device that are mapped in one page table, which stays as long as there are any.
 * It goes with RCU, like the page that belongs to it.
 */
struct symswap_table {
	struct symswap_mm *mm;
	struct symswap_device *device;
	unsigned long address; /* of the first page */
	unsigned int count;
	unsigned int counted; /* of these, those in the device's sum */
	pte_t *swap;	      /* a page: what was there before; none where no slot is mapped */
	struct rcu_head rcu;
};

/* Where a fault's PTE lies, as found without a lock. */
struct symswap_place {
	unsigned long address;
	pmd_t *pmd;
	pmd_t table; /* *pmd when it was found */
	pte_t *pte;
};

/* map_mm.c */
void symswap_mm_start(void);
void symswap_mm_stop(void);
int symswap_mm_register(struct mm_struct *mm);
void symswap_mm_request(struct mm_struct *mm);
struct symswap_mm *symswap_mm_find(struct mm_struct *mm);
bool symswap_mm_known(struct mm_struct *mm);
void symswap_revoke_limited(void);

/* map_table.c */
bool symswap_place_find(struct mm_struct *mm, unsigned long address, struct symswap_place *place);
struct symswap_table *symswap_table_get(struct symswap_mm *mm, struct symswap_device *device,
					unsigned long address);
void symswap_table_put(struct symswap_table *table);
int symswap_table_note(struct symswap_table *table, u64 slot, unsigned long address, pte_t swap);
unsigned long symswap_revoke_mm(struct symswap_mm *mm, unsigned long first, unsigned long last);
unsigned long symswap_revoke_range(struct mm_struct *mm, unsigned long start, unsigned long end);
void symswap_tables_stop(void);

/* map_fault.c */
void symswap_map_fault(struct vm_area_struct *vma, unsigned long address, unsigned int flags,
		       struct pt_regs *regs);
bool symswap_map_install(struct symswap_table *table, struct swap_info_struct *info,
			 struct vm_area_struct *vma, unsigned long address, pte_t *pte, u64 slot);
bool symswap_mm_limited(struct mm_struct *mm);
void symswap_map_hold(void);
void symswap_map_release(void);

/* map_hook.c */
const char *symswap_hooks_start(void);
void symswap_hooks_stop(void);
struct swap_info_struct *symswap_swap_get(swp_entry_t entry);
void symswap_swap_put(struct swap_info_struct *info);
void symswap_flush(struct mm_struct *mm, unsigned long start, unsigned long end);

/* map_test.c */
const char *symswap_map_test(struct symswap_device *device);

static inline unsigned long symswap_slot_pfn(const struct symswap_device *device, u64 slot)
{
	return PHYS_PFN(device->gpa + (device->data - (u8 *)device->header)) + slot;
}

/* The slot of a swap entry that is not none. */
static inline u64 symswap_swap_slot(pte_t swap)
{
	return swp_offset(pte_to_swp_entry(swap));
}

#endif
