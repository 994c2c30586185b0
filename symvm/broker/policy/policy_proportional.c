// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `proportional`: each VM gets what it wants. If that is more than the share, weights
 * say who gets how much of it. What nobody wants stays where it is: a VM that wants less than it
 * has is not asked to return it before another VM needs it.
 *
 * It believes what a VM wants. So a VM that wants its max all the time has its part by weight for
 * ever, whether it uses it or not; `demand` taxes that.
 */
#include "broker/policy/policy.h"
#include "util/u64.h"

static void proportional_decide(void *state, const struct broker_host_view *host,
				const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	struct broker_claim claims[BROKER_POLICY_VMS_MAX] = {0};

	for (size_t i = 0; i < count; i++)
		claims[i] = (struct broker_claim){vms[i].min, vms[i].want, vms[i].weight,
						  UINT64_MAX};
	broker_share_out(host->share, count, claims, targets);
	for (size_t i = 0; i < count; i++) {
		claims[i].low = targets[i];
		claims[i].high = u64_min(u64_max(targets[i], vms[i].leased), vms[i].max);
	}
	broker_share_out(host->share, count, claims, targets);
}

static const struct broker_policy proportional_policy = {
	.name = "proportional",
	.help = "what each wants; by weight if that is more than the share",
	.decide = proportional_decide,
};
BROKER_POLICY(proportional_policy);
