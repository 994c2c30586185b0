// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapped slots of a process: where they are, and how they become swap entries again. That happens
 * before the kernel changes anything about their addresses (an MMU notifier), when somebody
 * needs a page there, when the slot is read, and when the VMM wants it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hashtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include "map.h"

#define SYMSWAP_BATCH 64u /* mappings for one flush of the TLB */

static DEFINE_HASHTABLE(symswap_mms, 8);
static DEFINE_SPINLOCK(symswap_mms_lock); /* of changes to it */
static struct mm_struct *symswap_requested; /* the mm that is being registered */
static bool symswap_mm_stopped = true;

/* symswap_mm_find - under RCU */
struct symswap_mm *symswap_mm_find(struct mm_struct *mm)
{
	struct symswap_mm *known;

	hash_for_each_possible_rcu(symswap_mms, known, hash, (unsigned long)mm)
		if (known->notifier.mm == mm)
			return known;
	return NULL;
}

bool symswap_mm_known(struct mm_struct *mm)
{
	bool known;

	rcu_read_lock();
	known = symswap_mm_find(mm);
	rcu_read_unlock();
	return known;
}

/*
 * symswap_place_find - where the PTE of @address is, or false if there is no table for it
 *
 * The table stays: the caller is in a fault there, or a mapping lies in it.
 */
bool symswap_place_find(struct mm_struct *mm, unsigned long address, struct symswap_place *place)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return false;
	p4d = p4d_offset(pgd, address);
	if (p4d_none(*p4d) || p4d_bad(*p4d))
		return false;
	pud = pud_offset(p4d, address);
	if (pud_none(*pud) || pud_bad(*pud)) /* huge is bad, too */
		return false;
	place->pmd = pmd_offset(pud, address);
	place->table = READ_ONCE(*place->pmd);
	if (pmd_none(place->table) || pmd_bad(place->table))
		return false;
	place->pte = pte_offset_kernel(&place->table, address);
	place->address = address;
	return true;
}

/*
 * symswap_mapping_make - note that @slot, which is MAPPED, is so at @address
 *
 * With the locks of @mm and of the page table. 0 or -ENOMEM. Nothing can see it before these locks
 * are given back.
 */
int symswap_mapping_make(struct symswap_mm *mm, struct symswap_device *device, u64 slot,
			 unsigned long address, pte_t swap)
{
	const gfp_t flags = GFP_ATOMIC | __GFP_NOWARN;
	struct symswap_mapping *mapping = kmalloc(sizeof(*mapping), flags);

	if (!mapping)
		return -ENOMEM;
	*mapping = (struct symswap_mapping){
		.mm = mm,
		.device = device,
		.slot = slot,
		.address = address,
		.swap = swap,
	};
	if (xa_is_err(xa_store(&mm->pages, address >> PAGE_SHIFT, mapping, flags)))
		goto out_free;
	if (xa_is_err(xa_store(&device->mapped, slot, mapping, flags)))
		goto out_erase;
	WRITE_ONCE(device->header->mapped, atomic_long_inc_return(&device->mapped_count));
	return 0;
out_erase:
	xa_erase(&mm->pages, address >> PAGE_SHIFT);
out_free:
	kfree(mapping);
	return -ENOMEM;
}

/* Its PTE is a swap entry again; only the TLB may still know of the slot. */
static void symswap_mapping_clear(const struct symswap_mapping *mapping)
{
	struct mm_struct *mm = mapping->mm->notifier.mm;
	struct symswap_place place;
	spinlock_t *lock;
	bool found = false;

	if (symswap_place_find(mm, mapping->address, &place)) {
		lock = pte_lockptr(mm, place.pmd);
		spin_lock(lock);
		if (pte_present(*place.pte) && pte_devmap(*place.pte) &&
		    pte_pfn(*place.pte) == symswap_slot_pfn(mapping->device, mapping->slot)) {
			native_ptep_get_and_clear(place.pte);
			set_pte(place.pte, mapping->swap);
			found = true;
		}
		spin_unlock(lock);
	}
	if (!found) {
		symswap_count(mapping->device, SYMSWAP_maps_lost);
		pr_err_ratelimited("slot %llu is not at %#lx any more\n", mapping->slot,
				   mapping->address);
	}
}

/* The slot is the VMM's to take again, and the record goes. No TLB knows it any more. */
static void symswap_mapping_drop(struct symswap_mapping *mapping)
{
	struct symswap_device *device = mapping->device;

	xa_erase(&mapping->mm->pages, mapping->address >> PAGE_SHIFT);
	xa_erase(&device->mapped, mapping->slot);
	symswap_slot_unmap(device, mapping->slot);
	WRITE_ONCE(device->header->mapped, atomic_long_dec_return(&device->mapped_count));
	symswap_count(device, SYMSWAP_maps_revoked);
	kfree_rcu(mapping, rcu);
}

/* Up to SYMSWAP_BATCH of the pages @first to @last. With the lock of @mm. How many. */
static unsigned int symswap_revoke_batch(struct symswap_mm *mm, unsigned long first,
					 unsigned long last)
{
	struct symswap_mapping *batch[SYMSWAP_BATCH], *mapping;
	unsigned long page, low = ULONG_MAX, high = 0;
	unsigned int count = 0, i;

	xa_for_each_range(&mm->pages, page, mapping, first, last) {
		symswap_mapping_clear(mapping);
		low = min(low, page);
		high = max(high, page);
		batch[count++] = mapping;
		if (count == SYMSWAP_BATCH)
			break;
	}
	if (count)
		symswap_flush(mm->notifier.mm, low << PAGE_SHIFT, (high + 1) << PAGE_SHIFT);
	for (i = 0; i < count; i++)
		symswap_mapping_drop(batch[i]);
	return count;
}

static unsigned long symswap_revoke_pages(struct symswap_mm *mm, unsigned long first,
					  unsigned long last)
{
	unsigned long count = 0;
	unsigned int batch;

	do {
		spin_lock(&mm->lock);
		batch = symswap_revoke_batch(mm, first, last);
		spin_unlock(&mm->lock);
		count += batch;
	} while (batch == SYMSWAP_BATCH);
	return count;
}

/* symswap_revoke_range - what @mm has mapped of [@start, @end) now. Does not sleep. How many. */
unsigned long symswap_revoke_range(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	unsigned long count = 0;
	struct symswap_mm *known;

	rcu_read_lock();
	known = symswap_mm_find(mm);
	if (known && !xa_empty(&known->pages))
		count = symswap_revoke_pages(known, start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
	rcu_read_unlock();
	return count;
}

/* symswap_revoke_limited - of each mm that came under a limit since it mapped. Does not sleep. */
void symswap_revoke_limited(void)
{
	struct symswap_mm *mm;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(symswap_mms, bucket, mm, hash)
		if (!xa_empty(&mm->pages) && symswap_mm_limited(mm->notifier.mm))
			symswap_revoke_pages(mm, 0, ULONG_MAX);
	rcu_read_unlock();
}

/* symswap_slot_revoke - that one is not mapped any more. Does not sleep. */
void symswap_slot_revoke(struct symswap_device *device, u64 slot)
{
	struct symswap_mapping *mapping;
	unsigned long page;

	rcu_read_lock();
	mapping = xa_load(&device->mapped, slot);
	if (mapping) {
		page = mapping->address >> PAGE_SHIFT;
		spin_lock(&mapping->mm->lock);
		/* The record may be another's by now, or nobody's. */
		if (xa_load(&device->mapped, slot) == mapping)
			symswap_revoke_batch(mapping->mm, page, page);
		spin_unlock(&mapping->mm->lock);
	}
	rcu_read_unlock();
}

/*
 * symswap_revoke_some - up to @most mapped slots of @device, in the order of their numbers, on from
 * where it ended last time. Does not sleep. How many.
 */
unsigned long symswap_revoke_some(struct symswap_device *device, unsigned long most)
{
	unsigned long slot = READ_ONCE(device->revoke_next), count = 0;

	while (count < most) {
		struct symswap_mapping *mapping = xa_find(&device->mapped, &slot, ULONG_MAX,
							  XA_PRESENT);

		if (!mapping && !READ_ONCE(device->revoke_next))
			break;
		if (!mapping) {
			WRITE_ONCE(device->revoke_next, 0);
			slot = 0;
			continue;
		}
		symswap_slot_revoke(device, slot);
		WRITE_ONCE(device->revoke_next, ++slot);
		count++;
	}
	return count;
}

/* symswap_revoke_all - every mapping of @device. Nothing maps meanwhile. May sleep. */
void symswap_revoke_all(struct symswap_device *device)
{
	struct symswap_mapping *mapping;
	unsigned long slot;

	for (;;) {
		rcu_read_lock();
		slot = 0;
		mapping = xa_find(&device->mapped, &slot, ULONG_MAX, XA_PRESENT);
		if (mapping)
			symswap_revoke_pages(mapping->mm, 0, ULONG_MAX);
		rcu_read_unlock();
		if (!mapping)
			return;
		cond_resched();
	}
}

static int symswap_mm_invalidate(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct symswap_mm *mm = container_of(notifier, struct symswap_mm, notifier);

	spin_lock(&mm->lock);
	if (!mm->invalidating++) {
		mm->start = range->start;
		mm->end = range->end;
	} else {
		mm->start = min(mm->start, range->start);
		mm->end = max(mm->end, range->end);
	}
	spin_unlock(&mm->lock);
	symswap_revoke_pages(mm, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT);
	return 0;
}

static void symswap_mm_invalidated(struct mmu_notifier *notifier,
				   const struct mmu_notifier_range *range)
{
	struct symswap_mm *mm = container_of(notifier, struct symswap_mm, notifier);

	spin_lock(&mm->lock);
	mm->invalidating--;
	spin_unlock(&mm->lock);
}

static void symswap_mm_put(struct symswap_mm *mm)
{
	spin_lock(&symswap_mms_lock);
	hash_del_rcu(&mm->hash);
	spin_unlock(&symswap_mms_lock);
	if (!test_and_set_bit(0, &mm->put))
		mmu_notifier_put(&mm->notifier);
}

/* The mm ends: its tasks are gone. */
static void symswap_mm_release(struct mmu_notifier *notifier, struct mm_struct *unused)
{
	struct symswap_mm *mm = container_of(notifier, struct symswap_mm, notifier);

	spin_lock(&mm->lock);
	mm->dead = true;
	spin_unlock(&mm->lock);
	symswap_revoke_pages(mm, 0, ULONG_MAX);
	symswap_mm_put(mm);
}

static struct mmu_notifier *symswap_mm_alloc(struct mm_struct *unused)
{
	struct symswap_mm *mm = kzalloc(sizeof(*mm), GFP_KERNEL);

	if (!mm)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&mm->lock);
	xa_init(&mm->pages);
	return &mm->notifier;
}

static void symswap_mm_free(struct mmu_notifier *notifier)
{
	struct symswap_mm *mm = container_of(notifier, struct symswap_mm, notifier);

	xa_destroy(&mm->pages);
	kfree_rcu(mm, rcu);
}

static const struct mmu_notifier_ops symswap_mm_ops = {
	.invalidate_range_start = symswap_mm_invalidate,
	.invalidate_range_end = symswap_mm_invalidated,
	.release = symswap_mm_release,
	.alloc_notifier = symswap_mm_alloc,
	.free_notifier = symswap_mm_free,
};

/*
 * symswap_mm_register - slots may be mapped in @mm from now on. May sleep. 0 or an errno.
 *
 * Walks of its page tables that don't know of mappings (map_hook.c) end before, since they hold
 * the mmap lock.
 */
int symswap_mm_register(struct mm_struct *mm)
{
	struct mmu_notifier *notifier;
	struct symswap_mm *known;
	int error = 0;

	mmap_write_lock(mm);
	if (!symswap_mm_known(mm)) {
		notifier = mmu_notifier_get_locked(&symswap_mm_ops, mm);
		error = PTR_ERR_OR_ZERO(notifier);
		if (!error) {
			known = container_of(notifier, struct symswap_mm, notifier);
			spin_lock(&symswap_mms_lock);
			hash_add_rcu(symswap_mms, &known->hash, (unsigned long)mm);
			spin_unlock(&symswap_mms_lock);
		}
	}
	mmap_write_unlock(mm);
	return error;
}

static void symswap_mm_work(struct work_struct *unused)
{
	struct mm_struct *mm = READ_ONCE(symswap_requested);

	if (!mm)
		return;
	symswap_mm_register(mm);
	smp_store_release(&symswap_requested, NULL);
	mmput(mm);
}
static DECLARE_WORK(symswap_mm_worker, symswap_mm_work);

/* symswap_mm_request - register @mm soon; in a fault of it, whose mmap lock is held for reading. */
void symswap_mm_request(struct mm_struct *mm)
{
	if (READ_ONCE(symswap_requested) || READ_ONCE(symswap_mm_stopped) || !mmget_not_zero(mm))
		return;
	if (cmpxchg(&symswap_requested, NULL, mm))
		mmput_async(mm); /* somebody else's is first */
	else
		queue_work(system_unbound_wq, &symswap_mm_worker);
}

void symswap_mm_start(void)
{
	WRITE_ONCE(symswap_mm_stopped, false);
}

/* symswap_mm_stop - nothing is mapped, no fault runs in this module any more. May sleep. */
void symswap_mm_stop(void)
{
	struct hlist_node *next;
	struct symswap_mm *mm;
	int bucket;

	WRITE_ONCE(symswap_mm_stopped, true);
	flush_work(&symswap_mm_worker);
	for (;;) {
		struct symswap_mm *any = NULL;

		spin_lock(&symswap_mms_lock);
		hash_for_each_safe(symswap_mms, bucket, next, mm, hash) {
			if (any || test_and_set_bit(0, &mm->put))
				continue;
			hash_del_rcu(&mm->hash);
			any = mm;
		}
		spin_unlock(&symswap_mms_lock);
		if (!any)
			break;
		mmu_notifier_put(&any->notifier);
	}
	mmu_notifier_synchronize();
}
