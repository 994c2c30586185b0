// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `auto`: pages that are read once are copied. If pages come back again and again, the
 * guest gets RAM while there is room; if RAM can't be given, they are mapped, since the slot is
 * host memory already.
 */
#include "swap/policy/policy.h"

#define CREDIT_COLD    1024u
#define CREDIT_REFUSED 256u

/* Whether there is not enough for all, which is neither the guest's fault nor its cgroup's. */
static bool is_short(enum swap_reason reason)
{
	return reason == SWAP_REASON_GRANT_MAX || reason == SWAP_REASON_GRANT_BUDGET ||
	       reason == SWAP_REASON_GRANT_PRESSURE;
}

static void auto_decide(void *state, const struct swap_situation *situation,
			struct swap_decision *decision)
{
	enum swap_reason refusal;

	if (situation->hints & SYM_SWAP_DECIDE_OUT) {
		swap_policy_grant_early(situation, decision);
		return;
	}
	if (situation->asked && !swap_policy_returns(situation)) {
		decision->reason = SWAP_REASON_COPY_COLD;
		swap_policy_copy(situation, decision, CREDIT_COLD);
		return;
	}
	if (swap_policy_grant(situation, decision))
		return;
	refusal = decision->reason;
	/* Scarce memory goes to heavier cgroups first, and mapped slots are host memory, too. */
	if (refusal == SWAP_REASON_COPY_LIGHT ||
	    (situation->asked && situation->query.weight < SWAP_WEIGHT_USUAL &&
	     is_short(refusal))) {
		decision->reason = SWAP_REASON_COPY_LIGHT;
		swap_policy_copy(situation, decision, CREDIT_REFUSED);
		return;
	}
	if (!swap_policy_map(situation, decision)) {
		decision->reason = refusal;
		swap_policy_copy(situation, decision, CREDIT_REFUSED);
	}
}

static const struct swap_policy auto_policy = {
	.name = "auto",
	.help = "RAM or a mapping for what comes back, a copy for what is read once",
	.verdicts = 1u << SYM_VERDICT_COPY | 1u << SYM_VERDICT_GRANT | 1u << SYM_VERDICT_MAP |
		    SYM_SWAP_ASK_OUT,
	.wants_query = swap_policy_always_asks,
	.decide = auto_decide,
	.shrink = swap_policy_shrink,
};
SWAP_POLICY(auto_policy);
