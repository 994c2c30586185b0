// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notes about mapped slots, and how they become swap entries again (map.h says when).
 *
 * One fault maps many slots, so a note must cost next to nothing. Each page table has one more
 * page, which keeps the replaced swap PTEs at the same indexes. Each slot points to its swap PTE
 * there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "map.h"

#define SYMSWAP_CHUNK (PAGE_SIZE / sizeof(pte_t *)) /* slots per page of pointers */
#define SYMSWAP_GFP   (GFP_ATOMIC | __GFP_NOWARN)

/*
 * symswap_place_find - where the PTE of @address is, or false if there is no table for it
 *
 * The table stays: the caller is in a fault there, or a slot is mapped in it.
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
	if (pud_none(*pud) || pud_bad(*pud)) /* a huge page is bad, too */
		return false;
	place->pmd = pmd_offset(pud, address);
	place->table = READ_ONCE(*place->pmd);
	if (pmd_none(place->table) || pmd_bad(place->table))
		return false;
	place->pte = pte_offset_kernel(&place->table, address);
	place->address = address;
	return true;
}

/* Allocates the device's bitmap and pointers to notes. 0 or -ENOMEM. May sleep. */
int symswap_table_device(struct symswap_device *device)
{
	device->mapped = vzalloc(BITS_TO_LONGS(device->slots) * sizeof(long));
	device->where = vzalloc(DIV_ROUND_UP(device->slots, SYMSWAP_CHUNK) *
				sizeof(*device->where));
	if (device->mapped && device->where)
		return 0;
	symswap_table_forget(device);
	return -ENOMEM;
}

/* The opposite. Nothing is mapped any more. May sleep. */
void symswap_table_forget(struct symswap_device *device)
{
	u64 chunk;

	for (chunk = 0; device->where && chunk < DIV_ROUND_UP(device->slots, SYMSWAP_CHUNK);
	     chunk++)
		free_page((unsigned long)device->where[chunk]);
	vfree(device->where);
	vfree(device->mapped);
}

/* The slot's pointer to its note; NULL if no slot of this chunk was ever mapped. */
static pte_t **symswap_where(const struct symswap_device *device, u64 slot)
{
	pte_t **chunk = READ_ONCE(device->where[slot / SYMSWAP_CHUNK]);

	return chunk ? &chunk[slot % SYMSWAP_CHUNK] : NULL;
}

/* The same, allocated if needed; NULL without memory. The chunk stays until the device goes. */
static pte_t **symswap_where_make(struct symswap_device *device, u64 slot)
{
	pte_t ***chunk = &device->where[slot / SYMSWAP_CHUNK];

	if (!READ_ONCE(*chunk)) {
		pte_t **page = (pte_t **)get_zeroed_page(SYMSWAP_GFP);

		if (page && cmpxchg(chunk, NULL, page))
			free_page((unsigned long)page);
	}
	return symswap_where(device, slot);
}

static unsigned long symswap_table_key(const struct symswap_device *device, unsigned long address)
{
	return address >> PMD_SHIFT << SYMSWAP_TABLE_SHIFT | device->index;
}

/*
 * symswap_table_get - notes about the page table of @address in @mm, for slots of @device
 *
 * With the lock of @mm. NULL without memory. The caller puts it before it releases that lock.
 */
struct symswap_table *symswap_table_get(struct symswap_mm *mm, struct symswap_device *device,
					unsigned long address)
{
	unsigned long key = symswap_table_key(device, address);
	struct symswap_table *table = xa_load(&mm->tables, key);

	if (table)
		return table;
	table = kzalloc(sizeof(*table), SYMSWAP_GFP);
	if (!table)
		return NULL;
	table->mm = mm;
	table->device = device;
	table->address = address & PMD_MASK;
	table->swap = (pte_t *)get_zeroed_page(SYMSWAP_GFP);
	if (!table->swap)
		goto out_free;
	set_page_private(virt_to_page(table->swap), (unsigned long)table);
	if (!xa_is_err(xa_store(&mm->tables, key, table, SYMSWAP_GFP)))
		return table;
	set_page_private(virt_to_page(table->swap), 0);
	free_page((unsigned long)table->swap);
out_free:
	kfree(table);
	return NULL;
}

static void symswap_table_free(struct rcu_head *rcu)
{
	struct symswap_table *table = container_of(rcu, struct symswap_table, rcu);

	set_page_private(virt_to_page(table->swap), 0);
	free_page((unsigned long)table->swap);
	kfree(table);
}

/* symswap_table_put - count changes in the device's sum; free a table without mappings */
void symswap_table_put(struct symswap_table *table)
{
	struct symswap_device *device = table->device;
	long more = (long)table->count - table->counted;

	table->counted = table->count;
	if (more)
		WRITE_ONCE(device->header->mapped,
			   atomic_long_add_return(more, &device->mapped_count));
	if (table->count)
		return;
	xa_erase(&table->mm->tables, symswap_table_key(device, table->address));
	call_rcu(&table->rcu, symswap_table_free);
}

/*
 * symswap_table_note - note that @slot, whose word is MAPPED, is mapped at @address instead of
 * @swap
 *
 * With the locks of the mm and of the page table. 0 or -ENOMEM. Nothing can use the note before
 * these locks are released.
 */
int symswap_table_note(struct symswap_table *table, u64 slot, unsigned long address, pte_t swap)
{
	pte_t **where = symswap_where_make(table->device, slot), *entry;

	if (!where)
		return -ENOMEM;
	entry = &table->swap[pte_index(address)];
	*entry = swap;
	smp_store_release(where, entry); /* a reader follows it to its table */
	set_bit(slot, table->device->mapped);
	table->count++;
	return 0;
}

/* Something removed the PTE without a notification. */
static void symswap_entry_lost(const struct symswap_table *table, unsigned int i)
{
	symswap_count(table->device, SYMSWAP_maps_lost);
	pr_err_ratelimited("slot %llu is not at %#lx any more\n", symswap_swap_slot(table->swap[i]),
			   table->address + i * PAGE_SIZE);
}

/* Puts the swap PTE back. With the lock of the page table. */
static void symswap_entry_clear(const struct symswap_table *table, unsigned int i, pte_t *pte)
{
	const struct symswap_device *device = table->device;
	pte_t swap = table->swap[i];

	if (!pte_present(*pte) || !pte_devmap(*pte) ||
	    pte_pfn(*pte) != symswap_slot_pfn(device, symswap_swap_slot(swap))) {
		symswap_entry_lost(table, i);
		return;
	}
	native_ptep_get_and_clear(pte);
	set_pte(pte, device->testing ? __pte(0) : swap);
}

/* Makes the noted PTEs of @first to @last swap PTEs again. The TLB may still have the slots. */
static void symswap_table_clear(const struct symswap_table *table, unsigned int first,
				unsigned int last)
{
	struct mm_struct *mm = table->mm->notifier.mm;
	struct symswap_place place;
	spinlock_t *lock;
	unsigned int i;

	if (!symswap_place_find(mm, table->address, &place)) {
		for (i = first; i <= last; i++)
			if (!pte_none(table->swap[i]))
				symswap_entry_lost(table, i);
		return;
	}
	lock = pte_lockptr(mm, place.pmd);
	spin_lock(lock);
	for (i = first; i <= last; i++)
		if (!pte_none(table->swap[i]))
			symswap_entry_clear(table, i, place.pte + i);
	spin_unlock(lock);
}

/* Lets the VMM take the slots of @first to @last again. No TLB has them any more. */
static void symswap_table_drop(struct symswap_table *table, unsigned int first, unsigned int last)
{
	struct symswap_device *device = table->device;
	unsigned int i, before = table->count;

	for (i = first; i <= last; i++) {
		u64 slot = symswap_swap_slot(table->swap[i]);

		if (pte_none(table->swap[i]))
			continue;
		table->swap[i] = __pte(0);
		table->count--;
		clear_bit(slot, device->mapped);
		WRITE_ONCE(*symswap_where(device, slot), NULL);
		symswap_slot_unmap(device, slot);
	}
	symswap_count_more(device, SYMSWAP_maps_revoked, before - table->count);
}

/* Revokes entries @first to @last. With the lock of its mm. Returns the number. */
static unsigned int symswap_table_revoke(struct symswap_table *table, unsigned int first,
					 unsigned int last)
{
	unsigned int count = table->count;

	while (first <= last && pte_none(table->swap[first]))
		first++;
	while (first < last && pte_none(table->swap[last]))
		last--;
	if (first > last)
		return 0;
	symswap_table_clear(table, first, last);
	symswap_flush(table->mm->notifier.mm, table->address + first * PAGE_SIZE,
		      table->address + (last + 1) * PAGE_SIZE);
	symswap_table_drop(table, first, last);
	count -= table->count;
	symswap_table_put(table);
	return count;
}

/* symswap_revoke_mm - revoke pages @first to @last of @mm. Does not sleep. Returns the number. */
unsigned long symswap_revoke_mm(struct symswap_mm *mm, unsigned long first, unsigned long last)
{
	const unsigned int order = PMD_SHIFT - PAGE_SHIFT;
	unsigned long key = first >> order << SYMSWAP_TABLE_SHIFT, count = 0;
	unsigned long end = (last >> order << SYMSWAP_TABLE_SHIFT) + SYM_SWAP_WINDOWS_MAX - 1;
	struct symswap_table *table;

	do {
		spin_lock(&mm->lock);
		table = xa_find(&mm->tables, &key, end, XA_PRESENT);
		if (table) {
			unsigned long page = table->address >> PAGE_SHIFT;

			count += symswap_table_revoke(
				table, first > page ? first - page : 0,
				min(last - page, (unsigned long)PTRS_PER_PTE - 1));
		}
		spin_unlock(&mm->lock);
	} while (table && key++ < end);
	return count;
}

/* symswap_revoke_range - revoke [@start, @end) of @mm. Does not sleep. Returns the number. */
unsigned long symswap_revoke_range(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	unsigned long count = 0;
	struct symswap_mm *known;

	rcu_read_lock();
	known = symswap_mm_find(mm);
	if (known && !xa_empty(&known->tables))
		count = symswap_revoke_mm(known, start >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
	rcu_read_unlock();
	return count;
}

/* The table of the note @entry. Under RCU. */
static struct symswap_table *symswap_table_of(const pte_t *entry)
{
	return (struct symswap_table *)page_private(virt_to_page(entry));
}

/* symswap_slot_revoke - revoke the mapping of one slot. Does not sleep. */
static void symswap_slot_revoke(struct symswap_device *device, u64 slot)
{
	struct symswap_table *table;
	pte_t **where, *entry;

	rcu_read_lock();
	where = symswap_where(device, slot);
	entry = where ? READ_ONCE(*where) : NULL;
	if (entry) {
		struct symswap_mm *mm;
		unsigned int i = offset_in_page(entry) / sizeof(*entry);

		table = symswap_table_of(entry);
		mm = table->mm;
		spin_lock(&mm->lock);
		/* The slot may be mapped elsewhere by now, or nowhere. */
		if (READ_ONCE(*where) == entry)
			symswap_table_revoke(table, i, i);
		spin_unlock(&mm->lock);
	}
	rcu_read_unlock();
}

/*
 * symswap_revoke_some - revoke up to @most mapped slots of @device, in the order of their numbers.
 * It continues after the last one of the time before. Does not sleep. Returns the number.
 */
unsigned long symswap_revoke_some(struct symswap_device *device, unsigned long most)
{
	unsigned long slot = READ_ONCE(device->revoke_next), count = 0;

	while (count < most) {
		slot = find_next_bit(device->mapped, device->slots, slot);
		if (slot < device->slots) {
			symswap_slot_revoke(device, slot);
			WRITE_ONCE(device->revoke_next, ++slot);
			count++;
		} else if (READ_ONCE(device->revoke_next)) {
			WRITE_ONCE(device->revoke_next, 0);
			slot = 0;
		} else {
			break;
		}
	}
	return count;
}

const struct symswap_revoke symswap_map_revoke = {
	.slot = symswap_slot_revoke,
	.some = symswap_revoke_some,
};

/* symswap_revoke_all - revoke every mapping of @device. Nothing is mapped meanwhile. May sleep. */
void symswap_revoke_all(struct symswap_device *device)
{
	unsigned long slot = 0;
	pte_t *entry;

	for (;;) {
		slot = find_next_bit(device->mapped, device->slots, slot);
		if (slot >= device->slots)
			return;
		rcu_read_lock();
		entry = READ_ONCE(*symswap_where(device, slot));
		if (entry)
			symswap_revoke_mm(symswap_table_of(entry)->mm, 0, ULONG_MAX);
		rcu_read_unlock();
		cond_resched();
	}
}

/* symswap_tables_stop - after all was revoked: wait until the last notes are freed. May sleep. */
void symswap_tables_stop(void)
{
	rcu_barrier();
}
