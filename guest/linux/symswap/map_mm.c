// SPDX-License-Identifier: GPL-2.0-only
/* The mms in which slots may be mapped, and the kernel's changes of their addresses. */
#include <linux/hashtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>
#include "map.h"

static DEFINE_HASHTABLE(symswap_mms, 8);
static DEFINE_SPINLOCK(symswap_mms_lock);   /* to change it */
static struct mm_struct *symswap_requested; /* the mm that the worker registers */
static bool symswap_mm_stopped = true;
static atomic_t symswap_mm_live = ATOMIC_INIT(0); /* of struct symswap_mm */

/* symswap_mm_find - our structure of @mm, or NULL. Under RCU. */
struct symswap_mm *symswap_mm_find(struct mm_struct *mm)
{
	struct symswap_mm *known;

	hash_for_each_possible_rcu(symswap_mms, known, hash,
				   (unsigned long)mm) if (known->notifier.mm == mm) return known;
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

/* symswap_revoke_limited - revoke all of each mm that came under a limit. Does not sleep. */
void symswap_revoke_limited(void)
{
	struct symswap_mm *mm;
	int bucket;

	rcu_read_lock();
	hash_for_each_rcu(symswap_mms, bucket, mm,
			  hash) if (!xa_empty(&mm->tables) && symswap_mm_limited(mm->notifier.mm))
		symswap_revoke_mm(mm, 0, ULONG_MAX);
	rcu_read_unlock();
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
	symswap_revoke_mm(mm, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT);
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

/* The mm ends. Its tasks are gone. */
static void symswap_mm_release(struct mmu_notifier *notifier, struct mm_struct *unused)
{
	struct symswap_mm *mm = container_of(notifier, struct symswap_mm, notifier);

	spin_lock(&mm->lock);
	mm->dead = true;
	spin_unlock(&mm->lock);
	symswap_revoke_mm(mm, 0, ULONG_MAX);
	symswap_mm_put(mm);
}

static struct mmu_notifier *symswap_mm_alloc(struct mm_struct *unused)
{
	struct symswap_mm *mm = kzalloc(sizeof(*mm), GFP_KERNEL);

	if (!mm)
		return ERR_PTR(-ENOMEM);
	atomic_inc(&symswap_mm_live);
	spin_lock_init(&mm->lock);
	xa_init(&mm->tables);
	return &mm->notifier;
}

static void symswap_mm_free(struct mmu_notifier *notifier)
{
	struct symswap_mm *mm = container_of(notifier, struct symswap_mm, notifier);

	xa_destroy(&mm->tables);
	kfree_rcu(mm, rcu);
	if (atomic_dec_and_test(&symswap_mm_live))
		wake_up_var(&symswap_mm_live);
}

static const struct mmu_notifier_ops symswap_mm_ops = {
	.invalidate_range_start = symswap_mm_invalidate,
	.invalidate_range_end = symswap_mm_invalidated,
	.release = symswap_mm_release,
	.alloc_notifier = symswap_mm_alloc,
	.free_notifier = symswap_mm_free,
};

/*
 * symswap_mm_shun - revoke all mappings of @mm, and make no new ones. Does not sleep.
 *
 * For an mm that this module knows. Another one is refused when it is to be registered, since
 * whoever wants it to be shunned has an MMU notifier there.
 */
void symswap_mm_shun(struct mm_struct *mm)
{
	struct symswap_mm *known;

	rcu_read_lock();
	known = symswap_mm_find(mm);
	if (known) {
		spin_lock(&known->lock);
		known->dead = true;
		spin_unlock(&known->lock);
		symswap_revoke_mm(known, 0, ULONG_MAX);
	}
	rcu_read_unlock();
}

/*
 * symswap_mm_register - slots may be mapped in @mm from now on. May sleep. 0 or an errno.
 *
 * An mm with other MMU notifiers is refused: a device may use its page tables, and hears nothing of
 * what this module changes there. (So is an mm that an earlier instance of this module knew. Such
 * notifiers cannot be told apart.)
 *
 * It takes the mmap lock for writing. So page-table walks that are not aware of mappings
 * (map_hook.c), which hold that lock, have ended before.
 */
int symswap_mm_register(struct mm_struct *mm)
{
	struct mmu_notifier *notifier;
	struct symswap_mm *known;
	int error = 0;

	mmap_write_lock(mm);
	if (mm_has_notifiers(mm) && !symswap_mm_known(mm)) {
		error = -EBUSY;
	} else if (!symswap_mm_known(mm)) {
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

/* symswap_mm_request - register @mm soon; for a fault of it, which holds its mmap lock to read. */
void symswap_mm_request(struct mm_struct *mm)
{
	if (READ_ONCE(symswap_requested) || READ_ONCE(symswap_mm_stopped) || mm_has_notifiers(mm) ||
	    !mmget_not_zero(mm)) /* with notifiers it would be refused */
		return;
	if (cmpxchg(&symswap_requested, NULL, mm))
		mmput_async(mm); /* another mm was first */
	else
		queue_work(sym_unbound_wq, &symswap_mm_worker);
}

void symswap_mm_start(void)
{
	WRITE_ONCE(symswap_mm_stopped, false);
}

/* symswap_mm_stop - put all mms. Nothing is mapped, and no fault is in this module. May sleep. */
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
		hash_for_each_safe(symswap_mms, bucket, next, mm, hash)
		{
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
	/*
	 * mmu_notifier_synchronize() waits for a grace period only. The callback that frees a
	 * structure may be queued on another CPU, and run later.
	 */
	wait_var_event(&symswap_mm_live, !atomic_read(&symswap_mm_live));
	mmu_notifier_synchronize();
	symswap_tables_stop();
}
