// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `map`: the store's own copy is mapped into the process that faults, if the guest
 * supports it and no cgroup limit is bypassed by it.
 */
#include "swap/policy/policy.h"

#define CREDIT_REFUSED 64u /* the next fault may be another task's */

static void map_decide(void *state, const struct swap_situation *situation,
		       struct swap_decision *decision)
{
	if (!swap_policy_map(situation, decision))
		swap_policy_copy(situation, decision, CREDIT_REFUSED);
}

static const struct swap_policy map_policy = {
	.name = "map",
	.help = "slots are mapped where they are, without a copy and without guest RAM",
	.verdicts = 1u << SYM_VERDICT_COPY | 1u << SYM_VERDICT_MAP,
	.wants_query = swap_policy_always_asks,
	.decide = map_decide,
	.shrink = swap_policy_shrink,
};
SWAP_POLICY(map_policy);
