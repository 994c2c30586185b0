// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `static`: each VM has its part of the share by its weight, whatever it does. It is
 * what one has without a broker, and what the others are compared with.
 */
#include "broker/policy/policy.h"

static void static_decide(void *state, const struct broker_host_view *host,
			  const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	struct broker_claim claims[BROKER_POLICY_VMS_MAX] = {0};

	for (size_t i = 0; i < count; i++)
		claims[i] = (struct broker_claim){vms[i].min, vms[i].max, vms[i].weight,
						  UINT64_MAX};
	broker_share_out(host->share, count, claims, targets);
}

static const struct broker_policy static_policy = {
	.name = "static",
	.help = "parts of the share by weight, whatever the VMs do",
	.decide = static_decide,
};
BROKER_POLICY(static_policy);
