// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the VMM decides about swap-ins. It is asked only when the credit of its last
 * verdict is used up, and nobody waits for somebody else's question.
 */
#include <linux/minmax.h>
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

/*
 * symswap_verdict_ask - a slot is about to be read: ask what to do, if it is time
 *
 * Whatever the answer, this slot is copied: a GRANT gives RAM to the next ones, and
 * MAP is not possible here (the question says so).
 */
void symswap_verdict_ask(struct symswap_device *device, u64 slot)
{
	const u64 request[] = {device->index, slot, 0};
	u32 epoch = READ_ONCE(device->header->policy_epoch);
	s64 verdict = 0;
	int error;

	if (!READ_ONCE(device->header->verdicts))
		return; /* the policy is off */
	if (epoch == READ_ONCE(device->epoch) && atomic_dec_if_positive(&device->credit) >= 0)
		return;
	if (atomic_cmpxchg(&device->asking, 0, 1))
		return;
	symswap_count(device, SYMSWAP_decides);
	error = symbiotic_doorbell(SYM_DOORBELL_SWAP_DECIDE, request, ARRAY_SIZE(request),
				   &verdict);
	symswap_count(device, symswap_verdict_stat(error, verdict));
	WRITE_ONCE(device->epoch, epoch);
	/* A refused question is not repeated at once. */
	atomic_set(&device->credit,
		   error || verdict < 0 ? 16 : (int)SYM_VERDICT_CREDIT((u64)verdict));
	atomic_set_release(&device->asking, 0);
}
