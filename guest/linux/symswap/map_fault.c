// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fault on a swapped page, before the kernel handles it. If everything is as usual and the VMM
 * says so, this file maps the slot itself there, and the fault is over. Otherwise it counts the
 * reason, and the kernel copies. map.h explains mappings, their tables and their locks.
 */
#include <linux/memcontrol.h>
#include <linux/page_counter.h>
#include <linux/percpu-refcount.h>
#include <linux/userfaultfd_k.h>
#include <linux/version.h>
#include "map.h"

#define SYMSWAP_AROUND_MAX   ((unsigned int)PTRS_PER_PTE)
#define SYMSWAP_AROUND_START 8u /* a fault out of order gets 1/8 of the allowed pages */
#ifndef VM_SHADOW_STACK		/* before 6.6 */
#define VM_SHADOW_STACK VM_NONE
#endif
/* Mappings in which no slot may be mapped, or in which it is not worth supporting. */
#define SYMSWAP_VMA_UNUSUAL                                                                       \
	(VM_SHARED | VM_MAYSHARE | VM_EXEC | VM_LOCKED | VM_SPECIAL | VM_HUGETLB | VM_MERGEABLE | \
	 VM_GROWSDOWN | VM_WIPEONFORK | VM_SHADOW_STACK | __VM_UFFD_FLAGS)

/* More than 0: nothing is mapped (a swapoff; the module starts or stops). */
static atomic_t symswap_held = ATOMIC_INIT(1);

/* One fault. */
struct symswap_fault {
	struct vm_area_struct *vma;
	struct symswap_place place;
	struct swap_info_struct *info;
	struct symswap_device *device;
	u64 slot;
	unsigned int around;
};

/* symswap_map_hold - after it returns, no slot is mapped until symswap_map_release(). Sleeps. */
void symswap_map_hold(void)
{
	atomic_inc(&symswap_held);
	synchronize_rcu();
}

void symswap_map_release(void)
{
	atomic_dec(&symswap_held);
}

static bool symswap_vma_usual(const struct vm_area_struct *vma)
{
	return !vma->vm_ops && !vma->vm_file && vma->anon_vma && vma->vm_flags & VM_READ &&
	       !(vma->vm_flags & SYMSWAP_VMA_UNUSUAL);
}

/*
 * symswap_mm_limited - whether a memory limit holds for @mm, its cgroup's own or an ancestor's.
 * Mapped slots are charged to no cgroup, so they would bypass it.
 */
bool symswap_mm_limited(struct mm_struct *mm)
{
	struct mem_cgroup *group;
	bool limited = false;

	if (mem_cgroup_disabled())
		return false;
	rcu_read_lock();
	for (group = mem_cgroup_from_task(rcu_dereference(mm->owner)); group && !limited;
	     group = parent_mem_cgroup(group))
		limited = READ_ONCE(group->memory.max) < PAGE_COUNTER_MAX ||
			  READ_ONCE(group->memory.high) < PAGE_COUNTER_MAX;
	rcu_read_unlock();
	return limited;
}

static pte_t symswap_pte_mkwrite(pte_t pte)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
	return pte_mkwrite_novma(pte);
#else
	return pte_mkwrite(pte);
#endif
}

/*
 * The entry has no other user, so the process can write to the slot where it is. After a revocation
 * the slot has the last contents. Nothing records these writes, so a writable page counts as
 * soft-dirty.
 */
static pte_t symswap_slot_pte(const struct symswap_device *device, u64 slot,
			      const struct vm_area_struct *vma, pte_t swap)
{
	pte_t pte = pfn_pte(symswap_slot_pfn(device, slot), vma->vm_page_prot);

	pte = pte_mkyoung(pte_mkdevmap(pte));
	if (vma->vm_flags & VM_WRITE)
		return pte_mkdirty(symswap_pte_mkwrite(pte));
	pte = pte_wrprotect(pte);
	return pte_swp_soft_dirty(swap) ? pte_mksoft_dirty(pte) : pte;
}

/*
 * symswap_map_install - put the mapping of @slot into @pte, in which its swap entry is
 *
 * With the locks of the mm and of the page table. @info: NULL in the self-test, which has no entry.
 * Returns whether it was done, and counts a refusal.
 */
bool symswap_map_install(struct symswap_table *table, struct swap_info_struct *info,
			 struct vm_area_struct *vma, unsigned long address, pte_t *pte, u64 slot)
{
	pte_t swap = info ? *pte : swp_entry_to_pte(swp_entry(0, slot));
	enum symswap_stat refusal = SYMSWAP_refused_busy;
	struct symswap_device *device = table->device;

	if (!symswap_slot_map(device, slot)) {
		symswap_count(device, refusal);
		return false;
	}
	if (vma->vm_flags & VM_WRITE)
		swap = pte_swp_mksoft_dirty(swap);
	/*
	 * A task that reads the slot into the swap cache marks that in swap_map first, and looks
	 * at the slot's word afterwards. So one of us sees the other.
	 */
	if (info && READ_ONCE(info->swap_map[slot]) != 1)
		refusal = SYMSWAP_refused_shared;
	else if (info && !test_bit(slot, device->written))
		refusal = SYMSWAP_refused_stale;
	else if (symswap_table_note(table, slot, address, swap))
		refusal = SYMSWAP_refused_memory;
	else
		goto install;
	symswap_slot_unmap(device, slot);
	symswap_count(device, refusal);
	return false;
install:
	set_pte(pte, symswap_slot_pte(device, slot, vma, swap));
	return true;
}

/* The slot of @pte, if it is one of @info that may be mapped; else 0 (swap's header is there). */
static u64 symswap_entry_slot(const struct swap_info_struct *info,
			      const struct symswap_device *device, pte_t pte)
{
	swp_entry_t entry;
	u64 slot;

	if (pte_none(pte) || pte_present(pte) || pte_swp_uffd_wp(pte))
		return 0;
	entry = pte_to_swp_entry(pte);
	if (non_swap_entry(entry) || swp_type(entry) != info->type)
		return 0;
	slot = swp_offset(entry);
	return slot < device->slots && slot < info->max ? slot : 0;
}

/*
 * The pages that this fault maps, all in one page table. A fault that continues the previous window
 * doubles the window, up to the VMM's limit, and the window follows the fault. Another fault gets
 * few pages, on both sides of it. All locks are held.
 */
static void symswap_map_window(const struct symswap_fault *fault, struct symswap_mm *mm,
			       unsigned long *start)
{
	unsigned long at = fault->place.address, bytes;
	bool in_order = at == mm->next;

	mm->window = in_order ? 2 * mm->window : fault->around / SYMSWAP_AROUND_START;
	mm->window = clamp(mm->window, 1u, fault->around);
	bytes = (unsigned long)mm->window << PAGE_SHIFT;
	*start = in_order ? at : at & ~(bytes - 1);
	mm->next = min3(*start + bytes, fault->vma->vm_end, (at & PMD_MASK) + PMD_SIZE);
	*start = max3(*start, fault->vma->vm_start, at & PMD_MASK);
}

/* Maps the faulting page and, if that succeeds, its neighbours. All locks are held. */
static void symswap_map_around(const struct symswap_fault *fault, struct symswap_table *table)
{
	unsigned long at = fault->place.address, address;
	unsigned int count = table->count;
	pte_t *pte;
	u64 slot;

	if (!symswap_map_install(table, fault->info, fault->vma, at, fault->place.pte, fault->slot))
		return;
	symswap_count(fault->device, SYMSWAP_maps);
	symswap_map_window(fault, table->mm, &address);
	for (; address < table->mm->next; address += PAGE_SIZE) {
		pte = fault->place.pte + ((long)(address - at) >> PAGE_SHIFT);
		slot = address == at ? 0 : symswap_entry_slot(fault->info, fault->device, *pte);
		if (slot && symswap_slot_resident(fault->device, slot))
			symswap_map_install(table, fault->info, fault->vma, address, pte, slot);
	}
	symswap_count_more(fault->device, SYMSWAP_maps_around, table->count - count - 1);
}

/* Whether the kernel changes nothing here now, and nothing holds mappings. With the lock of @mm. */
static bool symswap_map_allowed(const struct symswap_fault *fault, const struct symswap_mm *mm)
{
	unsigned long first = fault->place.address & PMD_MASK;

	if (mm->dead || atomic_read(&symswap_held))
		return false;
	/* The neighbours are in the same page table. */
	return !mm->invalidating || first + PMD_SIZE <= mm->start || first >= mm->end;
}

static void symswap_map_locked(const struct symswap_fault *fault, struct symswap_mm *mm)
{
	const struct symswap_place *place = &fault->place;
	spinlock_t *lock = pte_lockptr(fault->vma->vm_mm, place->pmd);
	struct symswap_table *table;

	table = symswap_table_get(mm, fault->device, place->address);
	if (!table) {
		symswap_count(fault->device, SYMSWAP_refused_memory);
		return;
	}
	spin_lock(lock);
	if (!symswap_map_allowed(fault, mm) ||
	    pmd_val(READ_ONCE(*place->pmd)) != pmd_val(place->table) ||
	    symswap_entry_slot(fault->info, fault->device, *place->pte) != fault->slot)
		symswap_count(fault->device, SYMSWAP_refused_busy);
	else
		symswap_map_around(fault, table);
	spin_unlock(lock);
	symswap_table_put(table);
}

/* Checks the reasons against a mapping that need no lock, before the VMM is asked. */
static bool symswap_map_wanted(const struct symswap_fault *fault, unsigned int flags)
{
	const struct sym_swap_header *header = fault->device->header;
	struct symswap_device *device = fault->device;

	if (!(READ_ONCE(header->verdicts) & 1u << SYM_VERDICT_MAP) || atomic_read(&symswap_held))
		return false;
	if (flags & (FAULT_FLAG_REMOTE | FAULT_FLAG_INSTRUCTION | FAULT_FLAG_UNSHARE) ||
	    !symswap_vma_usual(fault->vma))
		symswap_count(device, SYMSWAP_refused_vma);
	else if (symswap_mm_limited(fault->vma->vm_mm))
		symswap_count(device, SYMSWAP_refused_memcg);
	else if (READ_ONCE(fault->info->swap_map[fault->slot]) != 1)
		symswap_count(device, SYMSWAP_refused_shared);
	else if (!test_bit(fault->slot, device->written))
		symswap_count(device, SYMSWAP_refused_stale);
	else if (READ_ONCE(header->flags) & SYM_SWAP_FULL || READ_ONCE(header->revoke_wanted))
		symswap_count(device, SYMSWAP_refused_budget);
	else
		return true;
	return false;
}

static void symswap_map_swapped(struct symswap_fault *fault, unsigned int flags)
{
	struct mm_struct *mm = fault->vma->vm_mm;
	struct symswap_device *device = fault->device;
	struct symswap_mm *known;

	if (!symswap_map_wanted(fault, flags))
		return;
	if (!symswap_mm_known(mm)) {
		symswap_count(device, SYMSWAP_refused_new);
		symswap_mm_request(mm);
		return;
	}
	if (!symswap_verdict_map(device, fault->slot, fault->vma, fault->place.address,
				 &fault->around))
		return;
	fault->around = rounddown_pow_of_two(clamp(fault->around, 1u, SYMSWAP_AROUND_MAX));
	if (symswap_slot_bring(device, fault->slot)) {
		symswap_count(device, SYMSWAP_refused_busy);
		return;
	}
	rcu_read_lock();
	known = symswap_mm_find(mm);
	if (known) {
		spin_lock(&known->lock);
		symswap_map_locked(fault, known);
		spin_unlock(&known->lock);
	}
	rcu_read_unlock();
}

/*
 * symswap_map_fault - runs before each handle_mm_fault(), with its arguments
 *
 * @regs: NULL if this is not a fault, but the kernel wants a page there.
 */
void symswap_map_fault(struct vm_area_struct *vma, unsigned long address, unsigned int flags,
		       struct pt_regs *regs)
{
	struct symswap_fault fault = { .vma = vma };
	swp_entry_t entry;
	pte_t pte;

	address &= PAGE_MASK;
	if (vma->vm_ops || !symswap_place_find(vma->vm_mm, address, &fault.place))
		return;
	pte = READ_ONCE(*fault.place.pte);
	if (pte_none(pte))
		return;
	if (pte_present(pte)) {
		if (pte_devmap(pte) && (!regs || flags & FAULT_FLAG_UNSHARE ||
					(flags & FAULT_FLAG_WRITE && !pte_write(pte))))
			symswap_revoke_range(vma->vm_mm, address, address + PAGE_SIZE);
		return;
	}
	entry = pte_to_swp_entry(pte);
	if (!regs || non_swap_entry(entry))
		return;
	fault.info = symswap_swap_get(entry);
	if (!fault.info)
		return;
	fault.device = symswap_device_of(fault.info);
	if (fault.device) {
		fault.slot = symswap_entry_slot(fault.info, fault.device, pte);
		if (fault.slot)
			symswap_map_swapped(&fault, flags);
	}
	symswap_swap_put(fault.info);
}
