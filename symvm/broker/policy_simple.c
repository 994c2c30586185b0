// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `simple`: each VM gets what it wants; the accounts cut that to the share. It does not
 * recall less than an eighth of a lease, which the VM may want back soon.
 */
#include <string.h>

#include "broker/policy.h"
#include "broker/policy_find.h"

static void simple_decide(void *state, const struct broker_host_view *host,
			  const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t leased = vms[i].leased, want = vms[i].want;

		targets[i] = want < leased && leased - want < leased / 8 ? leased : want;
	}
}

static const struct broker_policy simple_policy = {.name = "simple", .decide = simple_decide};

const struct broker_policy *broker_policy_find(const char *name)
{
	return strcmp(name, "simple") == 0 ? &simple_policy : NULL;
}
