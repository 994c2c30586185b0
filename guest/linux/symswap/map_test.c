// SPDX-License-Identifier: GPL-2.0-only
/*
 * The self-test tries everything that mappings rely on. It runs in the process that loads this
 * module, on pages of its own and a free slot of a device. Each mapping takes the place of an empty
 * PTE there, so the page reads as zeros after the mapping was revoked.
 */
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "map.h"

#define SYMSWAP_TEST_BYTE  0xa5
#define SYMSWAP_TEST_PAGES 16u

struct symswap_test {
	struct symswap_device *device;
	u64 slot;
	unsigned long start; /* of SYMSWAP_TEST_PAGES pages; the first of a table was touched */
	unsigned long page;  /* the next one in that table */
	u8 *buffer;
};

static bool symswap_test_all(const u8 *bytes, u8 value)
{
	return !memchr_inv(bytes, value, PAGE_SIZE);
}

/* Whether the bitmap and the word say that the slot is mapped. */
static bool symswap_test_mapped(const struct symswap_test *test)
{
	return test_bit(test->slot, test->device->mapped) &&
	       SYM_SLOT_STATE(READ_ONCE(test->device->words[test->slot])) == SYM_SLOT_MAPPED;
}

static bool symswap_test_resident(const struct symswap_test *test)
{
	return !test_bit(test->slot, test->device->mapped) &&
	       SYM_SLOT_STATE(READ_ONCE(test->device->words[test->slot])) == SYM_SLOT_RESIDENT;
}

/* With the lock of @known. */
static bool symswap_test_install(struct symswap_test *test, struct symswap_mm *known,
				 struct vm_area_struct *vma, const struct symswap_place *place)
{
	struct symswap_table *table = symswap_table_get(known, test->device, test->page);
	spinlock_t *lock = pte_lockptr(current->mm, place->pmd);
	bool done;

	if (!table)
		return false;
	spin_lock(lock);
	done = pte_none(*place->pte) &&
	       symswap_map_install(table, NULL, vma, test->page, place->pte, test->slot);
	spin_unlock(lock);
	symswap_table_put(table);
	return done;
}

static bool symswap_test_locked(struct symswap_test *test, struct vm_area_struct *vma)
{
	struct symswap_place place;
	struct symswap_mm *known;
	bool done = false;

	rcu_read_lock();
	known = symswap_mm_find(current->mm);
	if (known && symswap_place_find(current->mm, test->page, &place)) {
		spin_lock(&known->lock);
		done = symswap_test_install(test, known, vma, &place);
		spin_unlock(&known->lock);
	}
	rcu_read_unlock();
	return done;
}

/* Maps the slot at the next page. If the VMM takes the slot in between, brings it back. */
static bool symswap_test_map(struct symswap_test *test)
{
	struct vm_area_struct *vma;
	bool done = false;
	unsigned int i;

	test->page += PAGE_SIZE;
	for (i = 0; i < 100 && !done; i++) {
		if (symswap_slot_bring(test->device, test->slot))
			return false;
		mmap_read_lock(current->mm);
		vma = find_vma(current->mm, test->page);
		done = vma && vma->vm_start <= test->page && symswap_test_locked(test, vma);
		mmap_read_unlock(current->mm);
	}
	return done;
}

static const char *symswap_test_read(struct symswap_test *test)
{
	if (!symswap_test_map(test))
		return "self-test: a slot could not be mapped";
	if (copy_from_user(test->buffer, (void __user *)test->page, PAGE_SIZE) ||
	    !symswap_test_all(test->buffer, SYMSWAP_TEST_BYTE) || !symswap_test_mapped(test))
		return "self-test: a mapped slot does not read as its contents";
	/* ptrace wants a page there: the mapping goes. */
	if (access_process_vm(current, test->page, test->buffer, PAGE_SIZE, FOLL_FORCE) !=
		    PAGE_SIZE ||
	    !symswap_test_all(test->buffer, 0) || !symswap_test_resident(test))
		return "self-test: a mapped slot is in the way of ptrace";
	return NULL;
}

/* Whether the buffer has the slot's contents, with @first as the first byte. */
static bool symswap_test_written(const struct symswap_test *test, u8 first)
{
	return test->buffer[0] == first &&
	       !memchr_inv(test->buffer + 1, SYMSWAP_TEST_BYTE, PAGE_SIZE - 1);
}

static const char *symswap_test_write(struct symswap_test *test)
{
	const u8 byte = 1;

	if (!symswap_test_map(test))
		return "self-test: a slot could not be mapped for a write";
	if (copy_to_user((void __user *)test->page, &byte, 1) ||
	    copy_from_user(test->buffer, (void __user *)test->page, PAGE_SIZE) ||
	    !symswap_test_written(test, byte) || !symswap_test_mapped(test))
		return "self-test: a mapped slot can't be written";
	/* Another reader of the slot gets the written bytes, and the mapping goes. */
	if (symswap_slot_read(test->device, test->slot, 0, test->buffer, PAGE_SIZE) ||
	    !symswap_test_written(test, byte) || !symswap_test_resident(test))
		return "self-test: a write to a mapped slot is lost";
	return NULL;
}

static const char *symswap_test_revoke(struct symswap_test *test)
{
	if (!symswap_test_map(test) || symswap_revoke_some(test->device, 1) != 1 ||
	    !symswap_test_resident(test))
		return "self-test: a mapped slot could not be taken back";
	if (copy_from_user(test->buffer, (void __user *)test->page, PAGE_SIZE) ||
	    !symswap_test_all(test->buffer, 0))
		return "self-test: a slot can be read after it was taken back";
	if (!symswap_test_map(test))
		return "self-test: a slot could not be mapped again";
	if (vm_munmap(test->start, SYMSWAP_TEST_PAGES * PAGE_SIZE) || !symswap_test_resident(test))
		return "self-test: munmap() leaves a slot mapped";
	test->start = 0;
	return NULL;
}

/* Makes pages in this process, and touches one, so that the following ones have a table. */
static bool symswap_test_prepare(struct symswap_test *test)
{
	unsigned long start = vm_mmap(NULL, 0, SYMSWAP_TEST_PAGES * PAGE_SIZE,
				      PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
	unsigned long table;

	if (IS_ERR_VALUE(start))
		return false;
	test->start = start;
	/* Half of them are in one table. */
	table = ALIGN(start, PMD_SIZE);
	test->page = table - start < SYMSWAP_TEST_PAGES / 2 * PAGE_SIZE ? table : start;
	return !clear_user((void __user *)test->page, 1);
}

/*
 * symswap_map_test - NULL, or the reason why slots cannot be mapped
 *
 * Task context. The hooks are active, and nothing else maps slots.
 */
const char *symswap_map_test(struct symswap_device *device)
{
	struct symswap_test test = { .device = device, .slot = device->slots };
	const char *failed = "self-test: no memory for it";

	if (!current->mm || current->flags & PF_KTHREAD)
		return "self-test: not loaded by a process";
	while (test.slot && READ_ONCE(device->words[test.slot - 1]) != SYM_SLOT_FREE)
		test.slot--;
	if (!test.slot--)
		return "self-test: no free slot for it";
	test.buffer = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!test.buffer)
		return failed;
	memset(test.buffer, SYMSWAP_TEST_BYTE, PAGE_SIZE);
	device->testing = true;
	if (symswap_mm_register(current->mm) || !symswap_test_prepare(&test) ||
	    symswap_slot_write(device, test.slot, 0, test.buffer, PAGE_SIZE))
		goto out;
	failed = symswap_test_read(&test);
	if (!failed)
		failed = symswap_test_write(&test);
	if (!failed)
		failed = symswap_test_revoke(&test);
out:
	if (test.start)
		vm_munmap(test.start, SYMSWAP_TEST_PAGES * PAGE_SIZE);
	device->testing = false;
	symswap_slot_free(device, test.slot);
	kfree(test.buffer);
	return failed;
}
