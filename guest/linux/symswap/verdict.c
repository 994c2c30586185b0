// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMM's decisions about swap-ins and swap-outs. This module asks only if the credit of the last
 * verdict for that class of weights is used up. No task waits for the question of another.
 *
 * Before a swap-out the VMM can still give RAM, so that most of it does not happen. The driver
 * plugs that RAM on a CPU of this guest, while reclaim goes on evicting. So a task that reclaims
 * waits a little, until free memory has grown or some 100 ms are over.
 */
#include <linux/delay.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/vmstat.h>
#include "internal.h"

static enum symswap_stat symswap_verdict_stat(int error, s64 verdict)
{
	if (error || verdict < 0)
		return SYMSWAP_verdicts_other;
	switch (SYM_VERDICT_KIND((u64)verdict)) {
	case SYM_VERDICT_COPY:
		return SYMSWAP_verdicts_copy;
	case SYM_VERDICT_GRANT:
		return SYMSWAP_verdicts_grant;
	case SYM_VERDICT_MAP:
		return SYMSWAP_verdicts_map;
	default:
		return SYMSWAP_verdicts_other;
	}
}

#define SYMSWAP_RAM_IMPATIENT 16
#define SYMSWAP_RAM_WAITS     24
#define SYMSWAP_RAM_WAIT_MS   4
#define SYMSWAP_RAM_ENOUGH    1024 /* pages */

/* A fault that might be mapped; @vma is NULL if a slot is read, or written (@out). */
struct symswap_question {
	u64 slot;
	const struct vm_area_struct *vma;
	unsigned long address;
	bool out;
};

static u64 symswap_question_hints(const struct symswap_question *question)
{
	if (question->out)
		return SYM_SWAP_DECIDE_OUT;
	return question->vma ? SYM_SWAP_DECIDE_CANMAP : 0;
}

static s64 symswap_verdict_ring(struct symswap_device *device,
				const struct symswap_question *question)
{
	const u64 request[] = { device->index, question->slot, symswap_question_hints(question) };
	s64 verdict = 0;
	int error;

	/* The VMM's query finds the fault in data of this CPU. */
	migrate_disable();
	symswap_query_about(question->vma, question->address);
	error = symbiotic_doorbell(SYM_DOORBELL_SWAP_DECIDE, request, ARRAY_SIZE(request),
				   &verdict);
	symswap_query_about(NULL, 0);
	migrate_enable();
	symswap_count(device, question->out ? SYMSWAP_decides_out : SYMSWAP_decides);
	symswap_count(device, symswap_verdict_stat(error, verdict));
	/* A refused question is not repeated at once. */
	return error || verdict < 0 ? (s64)SYM_VERDICT(SYM_VERDICT_COPY, 16, 1) : verdict;
}

/*
 * Makes @credit valid for one more swap-in: by the last verdict, or by a new question if the credit
 * is used up. False if another task asks just now.
 */
static bool symswap_verdict_take(struct symswap_device *device, struct symswap_credit *credit,
				 const struct symswap_question *question)
{
	u32 epoch = READ_ONCE(device->header->policy_epoch);
	u64 verdict;

	if (epoch == READ_ONCE(credit->epoch) && atomic_dec_if_positive(&credit->left) >= 0)
		return true;
	if (atomic_cmpxchg(&device->asking, 0, 1))
		return false;
	verdict = symswap_verdict_ring(device, question);
	WRITE_ONCE(credit->epoch, epoch);
	WRITE_ONCE(credit->kind, SYM_VERDICT_KIND(verdict));
	WRITE_ONCE(credit->around, SYM_VERDICT_AROUND(verdict));
	atomic_set(&credit->left, (int)SYM_VERDICT_CREDIT(verdict));
	atomic_set_release(&device->asking, 0);
	return true;
}

/*
 * symswap_verdict_ask - a slot is about to be read: ask what to do, if the credit is used up
 *
 * Whatever the answer is, this slot is copied. A GRANT gives RAM to the next ones, and MAP is not
 * possible here (the question says so).
 */
void symswap_verdict_ask(struct symswap_device *device, u64 slot)
{
	const struct symswap_question question = { .slot = slot };

	if (READ_ONCE(device->header->verdicts)) /* else the policy is off */
		symswap_verdict_take(device, &device->copy[symswap_weight_class()], &question);
}

/*
 * Waits until RAM has come, but not for long. The worker that adds it may be in here, too: it does
 * not wait. After a wait for nothing, some are left out, so that a guest that cannot add RAM swaps
 * as fast as before.
 */
static void symswap_ram_wait(struct symswap_device *device)
{
	unsigned long before = global_zone_page_state(NR_FREE_PAGES);
	int i;

	if (current->flags & PF_WQ_WORKER || atomic_dec_if_positive(&device->impatient) >= 0)
		return;
	symswap_count(device, SYMSWAP_waits_ram);
	for (i = 0; i < SYMSWAP_RAM_WAITS; i++) {
		msleep(SYMSWAP_RAM_WAIT_MS);
		if (global_zone_page_state(NR_FREE_PAGES) > before + SYMSWAP_RAM_ENOUGH)
			return;
	}
	atomic_set(&device->impatient, SYMSWAP_RAM_IMPATIENT);
}

/*
 * symswap_verdict_out - a slot is about to be written: ask whether that must be, if the credit is
 * used up
 *
 * Whatever the answer is, this slot is written. May sleep.
 */
void symswap_verdict_out(struct symswap_device *device, u64 slot)
{
	const struct symswap_question question = { .slot = slot, .out = true };
	struct symswap_credit *credit = &device->out;

	if (!(READ_ONCE(device->header->verdicts) & SYM_SWAP_ASK_OUT))
		return;
	if (READ_ONCE(device->header->policy_epoch) == READ_ONCE(credit->epoch) &&
	    atomic_dec_if_positive(&credit->left) >= 0)
		return;
	if (symswap_verdict_take(device, credit, &question) &&
	    READ_ONCE(credit->kind) == SYM_VERDICT_GRANT)
		symswap_ram_wait(device);
}

/*
 * symswap_verdict_map - whether to map @slot for the fault at @address in @vma. *@around: up to how
 * many pages at once
 */
bool symswap_verdict_map(struct symswap_device *device, u64 slot, const struct vm_area_struct *vma,
			 unsigned long address, unsigned int *around)
{
	const struct symswap_question question = { slot, vma, address };
	struct symswap_credit *credit = &device->map[symswap_weight_class()];
	bool known = symswap_verdict_take(device, credit, &question);

	*around = READ_ONCE(credit->around);
	return known && READ_ONCE(credit->kind) == SYM_VERDICT_MAP;
}
