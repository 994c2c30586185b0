// SPDX-License-Identifier: BSD-2-Clause
#include "broker/policy/policy.h"

#include <stdbool.h>
#include <string.h>

#include "util/u64.h"
#include "util/word_list.h"

REGISTRY_DECLARE(symvm_broker_policies, struct broker_policy);

/* A level is in bytes for one unit of weight, with so many bits after the point. */
#define LEVEL_BITS 16u
#define LEVEL_MAX  (1ull << 62)

const struct broker_policy *broker_policy_find(const char *name)
{
	const struct broker_policy *const *it;

	REGISTRY_FOR_EACH(symvm_broker_policies, it) {
		if (strcmp((*it)->name, name) == 0)
			return *it;
	}
	return NULL;
}

void broker_policy_names(char *text, size_t size)
{
	const struct broker_policy *const *it;

	text[0] = '\0';
	REGISTRY_FOR_EACH(symvm_broker_policies, it)
		word_list_add(text, size, ", ", (*it)->name);
}

/* What a VM gets at this level. The product has up to 62 + 60 bits. */
static uint64_t at_level(uint64_t level, const struct broker_claim *claim)
{
	unsigned __int128 share = (unsigned __int128)level * claim->weight >> LEVEL_BITS;

	if (share > claim->active)
		share = claim->active + (share - claim->active) / BROKER_IDLE_COST;
	return share >= claim->high ? u64_max(claim->low, claim->high)
				    : u64_max(claim->low, (uint64_t)share);
}

static bool fits(uint64_t level, uint64_t total, size_t count, const struct broker_claim *claims)
{
	unsigned __int128 sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += at_level(level, &claims[i]);
	return sum <= total;
}

/* A level at which every claim has its high. */
static uint64_t level_enough(size_t count, const struct broker_claim *claims)
{
	uint64_t most = 0;

	for (size_t i = 0; i < count; i++) {
		unsigned __int128 level = (unsigned __int128)(claims[i].high + 1) * BROKER_IDLE_COST
					  << LEVEL_BITS;

		level = level / u64_max(claims[i].weight, 1) + 1;
		most = u64_max(most, level < LEVEL_MAX ? (uint64_t)level : LEVEL_MAX);
	}
	return most;
}

/* The sum grows with the level, so the highest level that fits is found by halving. */
void broker_share_out(uint64_t total, size_t count, const struct broker_claim *claims,
		      uint64_t *out)
{
	uint64_t level = 0, beyond = level_enough(count, claims) + 1;

	while (beyond - level > 1) {
		uint64_t middle = level + (beyond - level) / 2;

		if (fits(middle, total, count, claims))
			level = middle;
		else
			beyond = middle;
	}
	for (size_t i = 0; i < count; i++)
		out[i] = at_level(level, &claims[i]);
}
