// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of a device that uses page tables of processes, by HMM. A process that writes an address
 * to the parameter `hmm` asks for HMM_PAGES pages there, and gets -EIO if one of them is not RAM.
 */
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>

#define HMM_PAGES 256ul

static bool invalidated(struct mmu_interval_notifier *notifier,
			const struct mmu_notifier_range *range, unsigned long sequence)
{
	mmu_interval_set_seq(notifier, sequence);
	return true;
}

static const struct mmu_interval_notifier_ops operations = {.invalidate = invalidated};

static int range_fault(struct mmu_interval_notifier *notifier, unsigned long start)
{
	static unsigned long pages[HMM_PAGES];
	struct hmm_range range = {
		.notifier = notifier,
		.start = start,
		.end = start + HMM_PAGES * PAGE_SIZE,
		.hmm_pfns = pages,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
	};
	unsigned int tries, i;
	int error = -EBUSY;

	for (tries = 0; error == -EBUSY && tries < 100; tries++) {
		range.notifier_seq = mmu_interval_read_begin(notifier);
		mmap_read_lock(notifier->mm);
		error = hmm_range_fault(&range);
		mmap_read_unlock(notifier->mm);
	}
	for (i = 0; !error && i < HMM_PAGES; i++)
		if (!pfn_valid(pages[i] & ~HMM_PFN_FLAGS))
			error = -EIO;
	return error;
}

static int hmm_set(const char *text, const struct kernel_param *param)
{
	static DEFINE_MUTEX(lock);
	struct mmu_interval_notifier notifier;
	unsigned long start;
	int error = kstrtoul(text, 0, &start);

	if (!error)
		error = mmu_interval_notifier_insert(&notifier, current->mm, start,
						     HMM_PAGES * PAGE_SIZE, &operations);
	if (error)
		return error;
	mutex_lock(&lock);
	error = range_fault(&notifier, start);
	mutex_unlock(&lock);
	mmu_interval_notifier_remove(&notifier);
	return error;
}
static const struct kernel_param_ops hmm_ops = {.set = hmm_set};
module_param_cb(hmm, &hmm_ops, NULL, 0200);
