/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by map*.c: slots that are mapped where they are, instead of copied to a page.
 *
 * A mapping is a PTE in place of a swap PTE of private anonymous memory. It refers to the slot's
 * page in the VMM's window.
 *
 *                        symswap_map_install(): word, note, PTE
 *     swap PTE,      ------------------------------------------------->  PTE of the slot,
 *     word RESIDENT  <-------------------------------------------------  word MAPPED, a note
 *                        symswap_table_revoke(): PTE, TLB, note, word
 *
 * So the slot's word is MAPPED as long as a PTE or a TLB may refer to the slot. The VMM takes no
 * slot in this state.
 *
 * When a slot is mapped (map_fault.c). handle_mm_fault() goes through this module (map_hook.c). A
 * fault on a swap entry of one of our devices maps the slot. The kernel then finds a present PTE,
 * and the fault is over. Everything must be usual: a private anonymous mapping, an mm without a
 * memory limit, one user of the entry, contents that the kernel wrote to the slot, and a VMM that
 * has memory and answers MAP (verdict.c). Otherwise the kernel copies. The first such fault of an
 * mm is always copied: it only asks a worker to register the mm with an MMU notifier (map_mm.c).
 * One fault may also map neighbours in the same page table.
 *
 * Tables (map_table.c). A struct symswap_table belongs to one page table and one device. It exists
 * while any slot of the device is mapped there. It notes the swap PTEs that were replaced. The
 * device has a bit for each mapped slot, and for each slot a pointer to its note. So a mapping is
 * found by its address and by its slot.
 *
 * When a mapping is revoked: before the kernel changes anything about its address (the notifier,
 * mlock(), swapoff); when the kernel needs a page there (GUP, a write to a read-only mapping); when
 * the slot is read or written, or a write needs room; when the VMM wants slots back or gives no MAP
 * any more; when the mm comes under a memory limit; when the module stops. To revoke a mapping
 * never sleeps.
 *
 * Locks, outer first: symswap_mm.lock, the page table's lock, locks of xarrays. All of them are
 * spinlocks. The first covers every mapping and revocation of its mm, the TLB flush included. The
 * second covers the PTEs. The hash table of mms, notes and struct symswap_mm itself are found under
 * RCU. Freeing a slot takes none of these locks, since the kernel frees it with the page table's
 * lock held.
 */
#ifndef SYMSWAP_MAP_H
#define SYMSWAP_MAP_H

#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pagewalk.h>
#include <linux/rmap.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/writeback.h>
#include <linux/xarray.h>
#include <symbiotic/compat.h>
#include "internal.h"

/* An mm in which slots may be mapped. Under RCU, or while its task is in a fault. */
struct symswap_mm {
	struct mmu_notifier notifier; /* has the mm, and keeps a reference */
	struct hlist_node hash;
	spinlock_t lock;	   /* guards the members below, and is held to map and revoke */
	struct xarray tables;	   /* page table and device -> struct symswap_table */
	unsigned int invalidating; /* ranges that the kernel changes now, all within: */
	unsigned long start, end;
	unsigned long next;  /* end of the pages that the last fault mapped */
	unsigned int window; /* number of these pages */
	bool dead;	     /* it ends, or a device uses its page tables */
	unsigned long put;   /* bit 0: the notifier was put already */
	struct rcu_head rcu;
};

/* Keys of symswap_mm.tables: the number of the page table, then that of the device. */
#define SYMSWAP_TABLE_SHIFT 2
static_assert(SYM_SWAP_WINDOWS_MAX == 1 << SYMSWAP_TABLE_SHIFT);

/*
 * Slots of a device that are mapped in one page table. The page table stays as long as there are
 * any. This structure and its page of swap PTEs are freed after an RCU grace period.
 */
struct symswap_table {
	struct symswap_mm *mm;
	struct symswap_device *device;
	unsigned long address; /* of the first page */
	unsigned int count;
	unsigned int counted; /* of these, those in the device's sum */
	pte_t *swap;	      /* a page: the replaced swap PTEs; none if no slot is mapped */
	struct rcu_head rcu;
};

/* The place of a fault's PTE, as found without a lock. */
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
void symswap_mm_shun(struct mm_struct *mm);
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

/*
 * map_before.c: code that runs a function of map_hook.c before a function of the kernel. It returns
 * whether the kernel's function is wanted; else that returns 0.
 */
enum symswap_before {
	SYMSWAP_REPLACED, /* none of them */
	SYMSWAP_BEFORE_FAULT,
	SYMSWAP_BEFORE_WRITEPAGE,
	SYMSWAP_BEFORE_POPULATE,
	SYMSWAP_BEFORE_WALK,
	SYMSWAP_BEFORE_HMM,
};
void *symswap_before_hook(enum symswap_before before, unsigned long address);
bool symswap_before_fault(struct vm_area_struct *vma, unsigned long address, unsigned int flags,
			  struct pt_regs *regs);
bool symswap_before_writepage(struct page *page, struct writeback_control *control);
bool symswap_before_populate(unsigned long start, unsigned long length, int ignore_errors);
bool symswap_before_walk(struct mm_struct *mm, unsigned long start, unsigned long end,
			 const struct mm_walk_ops *ops, void *private);
bool symswap_before_hmm(struct hmm_range *range);

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
