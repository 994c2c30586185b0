// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots: the guest's half of the protocol of state words (symbiotic/abi.h). A task claims a slot by
 * compare-and-swap before it touches the slot, so that the VMM never takes memory away during a
 * copy. No task sleeps with a claim, or is preempted for long.
 */
#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/string.h>
#include "internal.h"

#define SYMSWAP_READERS_MAX  255u
#define SYMSWAP_SPINS	     200u
#define SYMSWAP_REVOKE_WRITE 64u		 /* mappings revoked to make room for a write */
#define SYMSWAP_WAIT_MAX_US  (30u * 1000 * 1000) /* then the VMM counts as stuck */

/* How long one request has waited for a slot that the guest cannot take. */
struct symswap_wait {
	unsigned int spins;
	u64 waited_us;
};

/*
 * Waits a little. Returns 0 to look again, or -EIO after SYMSWAP_WAIT_MAX_US. It sleeps, so only
 * callers that may sleep wait. (preemptible() cannot say it: in a kernel without
 * CONFIG_PREEMPT_COUNT it is always false.)
 */
static int symswap_wait(struct symswap_wait *wait)
{
	unsigned int us = 20;

	if (wait->spins++ < SYMSWAP_SPINS) {
		cpu_relax();
		return 0;
	}
	if (wait->waited_us > 2000)
		us = 1000;
	wait->waited_us += us;
	if (wait->waited_us > SYMSWAP_WAIT_MAX_US)
		return -EIO;
	usleep_range(us, 2 * us);
	return 0;
}

static u32 *symswap_word(struct symswap_device *device, u64 slot)
{
	return &device->words[slot];
}

static void *symswap_page(struct symswap_device *device, u64 slot)
{
	return device->data + (slot << PAGE_SHIFT);
}

/*
 * Rings for this slot. Returns 1: the VMM did it; 0: not yet, look at the word and ring again;
 * -ENOSPC (RESERVE only), -EIO. The VMM's -EAGAIN and, for a fetch, its -ENOSPC mean: later.
 */
static int symswap_ring(struct symswap_device *device, u32 reason, u64 slot,
			struct symswap_wait *wait)
{
	const u64 request[] = { device->index, slot };
	s64 verdict = -EAGAIN;
	int error = symbiotic_doorbell(reason, request, ARRAY_SIZE(request), &verdict);

	/* -EIO and the others concern this CPU (coming up, a limit), and not the slot. */
	if (error && error != -EIO && error != -EBUSY && error != -ENODEV)
		return -EIO;
	if (!error && !verdict)
		return 1;
	if (!error && verdict == -ENOSPC && reason == SYM_DOORBELL_SWAP_RESERVE)
		return -ENOSPC;
	if (!error && verdict != -EAGAIN && verdict != -ENOSPC)
		return -EIO;
	wait->spins = SYMSWAP_SPINS; /* sleep at once */
	return symswap_wait(wait);
}

/* For a reader: swaps @word from @old to @new, and leaves preemption off if that succeeded. */
static bool symswap_slot_enter(u32 *word, u32 old, u32 new)
{
	preempt_disable();
	if (cmpxchg(word, old, new) == old)
		return true;
	preempt_enable();
	return false;
}

/*
 * Takes a reader's count of @slot. 0: it is held, with preemption off, so that the task that frees
 * the slot can wait for its readers; -ENODATA: no contents; -EIO.
 */
static int symswap_slot_hold(struct symswap_device *device, u64 slot)
{
	u32 *word = symswap_word(device, slot);
	struct symswap_wait wait = { 0 };
	int error = 0;

	might_sleep();
	while (error >= 0) {
		u32 old = READ_ONCE(*word);

		switch (SYM_SLOT_STATE(old)) {
		case SYM_SLOT_FREE:
			return -ENODATA;
		case SYM_SLOT_RESIDENT:
			if (SYM_SLOT_READERS(old) < SYMSWAP_READERS_MAX &&
			    symswap_slot_enter(word, old, old + SYM_SLOT_READER))
				return 0;
			break;
		case SYM_SLOT_COPYING:
			if (symswap_slot_enter(word, old, SYM_SLOT_RESIDENT | SYM_SLOT_READER)) {
				symswap_count(device, SYMSWAP_taken_back);
				return 0;
			}
			break;
		case SYM_SLOT_STORED:
			symswap_count(device, SYMSWAP_fetches);
			error = symswap_ring(device, SYM_DOORBELL_SWAP_FETCH, slot, &wait);
			break;
		case SYM_SLOT_MAPPED:
			device->revoke->slot(device, slot);
			error = symswap_wait(&wait);
			break;
		case SYM_SLOT_FAILED:
			symswap_count(device, SYMSWAP_failed);
			return -EIO;
		default: /* WRITING by another, OWNED by the VMM */
			symswap_count(device, SYMSWAP_waits);
			error = symswap_wait(&wait);
		}
	}
	return error;
}

static void symswap_slot_release(struct symswap_device *device, u64 slot)
{
	u32 *word = symswap_word(device, slot);
	u32 old;

	do {
		old = READ_ONCE(*word);
	} while (cmpxchg(word, old, old - SYM_SLOT_READER) != old);
	preempt_enable();
}

int symswap_slot_read(struct symswap_device *device, u64 slot, unsigned int offset, void *to,
		      unsigned int length)
{
	int error = symswap_slot_hold(device, slot);

	if (error && error != -ENODATA)
		return error;
	if (error) {
		symswap_count(device, SYMSWAP_reads_free);
		memset(to, 0, length);
	} else {
		memcpy(to, symswap_page(device, slot) + offset, length);
		symswap_slot_release(device, slot);
	}
	symswap_count(device, SYMSWAP_reads);
	return 0;
}

/*
 * Claims @slot for writing. @was: its state before. With @keep its contents stay, so they have to
 * be in the window first. 0, -ENOSPC, -EIO.
 */
static int symswap_slot_claim(struct symswap_device *device, u64 slot, bool keep, u32 *was)
{
	u32 *word = symswap_word(device, slot);
	struct symswap_wait wait = { 0 };
	bool reserved = false;
	int error = 0;

	might_sleep();
	while (error >= 0) {
		u32 old = READ_ONCE(*word);

		*was = SYM_SLOT_STATE(old);
		switch (*was) {
		case SYM_SLOT_STORED:
			if (keep) {
				error = symswap_ring(device, SYM_DOORBELL_SWAP_FETCH, slot, &wait);
				break;
			}
			fallthrough;
		case SYM_SLOT_FREE:
		case SYM_SLOT_FAILED:
			if (!reserved && READ_ONCE(device->header->flags) & SYM_SWAP_FULL) {
				symswap_count(device, SYMSWAP_reserves);
				error = symswap_ring(device, SYM_DOORBELL_SWAP_RESERVE, slot,
						     &wait);
				reserved = error > 0;
				/* The VMM cannot take mapped slots: revoke some, and ask again. */
				if (error == -ENOSPC &&
				    device->revoke->some(device, SYMSWAP_REVOKE_WRITE))
					error = 0;
				break;
			}
			fallthrough;
		case SYM_SLOT_COPYING:
			if (cmpxchg(word, old, SYM_SLOT_WRITING) == old)
				return 0;
			break;
		case SYM_SLOT_RESIDENT:
			if (!SYM_SLOT_READERS(old) && cmpxchg(word, old, SYM_SLOT_WRITING) == old)
				return 0;
			symswap_count(device, SYMSWAP_waits);
			error = symswap_wait(&wait);
			break;
		case SYM_SLOT_MAPPED:
			device->revoke->slot(device, slot);
			fallthrough;
		default:
			symswap_count(device, SYMSWAP_waits);
			error = symswap_wait(&wait);
		}
	}
	if (error == -ENOSPC)
		symswap_count(device, SYMSWAP_refused);
	return error;
}

int symswap_slot_write(struct symswap_device *device, u64 slot, unsigned int offset,
		       const void *from, unsigned int length)
{
	u8 *page = symswap_page(device, slot);
	bool keep = length < PAGE_SIZE;
	u32 was;
	int error;

	clear_bit(slot, device->written);
	error = symswap_slot_claim(device, slot, keep, &was);
	if (error)
		return error;
	/* Part of a page without contents: the rest reads as zeros, not as old memory. */
	if (keep && (was == SYM_SLOT_FREE || was == SYM_SLOT_FAILED))
		memset(page, 0, PAGE_SIZE);
	memcpy(page + offset, from, length);
	/* A full barrier: the contents are in the window before the state says so. */
	cmpxchg(symswap_word(device, slot), SYM_SLOT_WRITING, SYM_SLOT_RESIDENT);
	if (!keep)
		set_bit(slot, device->written);
	symswap_count(device, SYMSWAP_writes);
	return 0;
}

/* symswap_slot_free - drop the contents. Any context: it waits for a copy at most. */
void symswap_slot_free(struct symswap_device *device, u64 slot)
{
	u32 *word = symswap_word(device, slot);

	clear_bit(slot, device->written);
	for (;;) {
		u32 old = READ_ONCE(*word);
		u32 state = SYM_SLOT_STATE(old);
		u32 new = state == SYM_SLOT_OWNED ? old | SYM_SLOT_DISCARD : SYM_SLOT_FREE;

		/* A writer came after the free. A mapped slot has no swap entry, so it stays. */
		if (state == SYM_SLOT_FREE || state == SYM_SLOT_WRITING || state == SYM_SLOT_MAPPED)
			return;
		if (state == SYM_SLOT_RESIDENT && SYM_SLOT_READERS(old))
			cpu_relax();
		else if (cmpxchg(word, old, new) == old)
			break;
	}
	symswap_count(device, SYMSWAP_frees);
}

/* symswap_slot_bring - get the contents into the window. May sleep. 0, -ENODATA, -EIO. */
int symswap_slot_bring(struct symswap_device *device, u64 slot)
{
	int error;

	if (symswap_slot_resident(device, slot))
		return 0;
	error = symswap_slot_hold(device, slot);
	if (!error)
		symswap_slot_release(device, slot);
	return error;
}

bool symswap_slot_resident(struct symswap_device *device, u64 slot)
{
	return READ_ONCE(*symswap_word(device, slot)) == SYM_SLOT_RESIDENT;
}

/* symswap_slot_map - RESIDENT without readers to MAPPED; false if it is not. A full barrier. */
bool symswap_slot_map(struct symswap_device *device, u64 slot)
{
	return cmpxchg(symswap_word(device, slot), SYM_SLOT_RESIDENT, SYM_SLOT_MAPPED) ==
	       SYM_SLOT_RESIDENT;
}

/* symswap_slot_unmap - the opposite. No process can reach the slot any more. */
void symswap_slot_unmap(struct symswap_device *device, u64 slot)
{
	cmpxchg(symswap_word(device, slot), SYM_SLOT_MAPPED, SYM_SLOT_RESIDENT);
}

/*
 * symswap_slot_settle - the state of @slot without a kernel's claims
 *
 * Only while nothing uses the device. An earlier kernel may have ended, by kexec, while it had
 * claims: MAPPED, WRITING, readers. Nothing would ever give them back.
 */
void symswap_slot_settle(struct symswap_device *device, u64 slot)
{
	u32 *word = symswap_word(device, slot);
	u32 old = READ_ONCE(*word), state = SYM_SLOT_STATE(old);

	if (state == SYM_SLOT_MAPPED || state == SYM_SLOT_WRITING ||
	    (state == SYM_SLOT_RESIDENT && SYM_SLOT_READERS(old)))
		cmpxchg(word, old, SYM_SLOT_RESIDENT);
}
