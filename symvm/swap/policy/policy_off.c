// SPDX-License-Identifier: BSD-2-Clause
/* The policy `off`: a plain synchronous swap device. The guest never asks. */
#include "swap/policy/policy.h"

static void off_decide(void *state, const struct swap_situation *situation,
		       struct swap_decision *decision)
{
	/* A guest that asks all the same is told not to. */
	decision->credit = SWAP_CREDIT_MAX;
	decision->reason = SWAP_REASON_OFF;
}

static const struct swap_policy off_policy = {
	.name = "off",
	.help = "a plain swap device: no decisions, no exits for them",
	.decide = off_decide,
	.shrink = swap_policy_shrink,
};
SWAP_POLICY(off_policy);
