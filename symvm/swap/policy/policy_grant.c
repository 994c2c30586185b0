// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `grant`: RAM reverses the guest's decision to swap. It is given ahead of the guest's
 * next allocations, as long as the maximum, the budget and the host's own state allow it.
 */
#include "swap/policy/policy.h"

#define CREDIT_REFUSED 512u /* a grant that is refused now may be possible soon */

static void grant_decide(void *state, const struct swap_situation *situation,
			 struct swap_decision *decision)
{
	if (situation->hints & SYM_SWAP_DECIDE_OUT)
		swap_policy_grant_early(situation, decision);
	else if (!swap_policy_grant(situation, decision))
		swap_policy_copy(situation, decision, CREDIT_REFUSED);
}

static const struct swap_policy grant_policy = {
	.name = "grant",
	.help = "RAM is given (virtio-mem), so that swapping stops",
	.verdicts = 1u << SYM_VERDICT_COPY | 1u << SYM_VERDICT_GRANT | SYM_SWAP_ASK_OUT,
	.wants_query = swap_policy_can_grant,
	.decide = grant_decide,
	.shrink = swap_policy_shrink,
};
SWAP_POLICY(grant_policy);
