// SPDX-License-Identifier: BSD-2-Clause
/* The policy `copy`: every swap-in is an ordinary one. */
#include "swap/policy/policy.h"

static void copy_decide(void *state, const struct swap_situation *situation,
			struct swap_decision *decision)
{
	decision->credit = SWAP_CREDIT_MAX;
	decision->reason = SWAP_REASON_COPY;
}

static const struct swap_policy copy_policy = {
	.name = "copy",
	.help = "every swap-in is a copy out of the store",
	.verdicts = 1u << SYM_VERDICT_COPY,
	.decide = copy_decide,
	.shrink = swap_policy_shrink,
};
SWAP_POLICY(copy_policy);
