// SPDX-License-Identifier: BSD-2-Clause
#include "services/broker_misses.h"

#include "util/u64.h"

#define SMOOTH	4u	     /* a new cost counts for a quarter */
#define NS_MOST (1ull << 60) /* so that sums fit */

static uint64_t gain(uint64_t now, uint64_t last, uint64_t most)
{
	return now > last ? u64_min(now - last, most) : 0;
}

static void total_add(uint64_t *total, uint64_t pages)
{
	*total = u64_min(*total + pages, INT64_MAX);
}

/* The mean cost of so many new misses. */
static void cost_update(struct broker_misses *misses, uint64_t swap_ins, uint64_t refaults)
{
	uint64_t count = swap_ins + refaults, cost;

	if (!count)
		return;
	cost = (misses->pending_ns + swap_ins * BROKER_SWAP_IN_NS + refaults * BROKER_REFAULT_NS) /
	       count;
	misses->pending_ns = 0;
	cost = u64_min(cost, BROKER_MISS_NS_MAX);
	misses->miss_ns = misses->miss_ns
				  ? (misses->miss_ns * (SMOOTH - 1) + cost + SMOOTH - 1) / SMOOTH
				  : cost;
}

void broker_misses_update(struct broker_misses *misses, const struct broker_miss_counts *now)
{
	const struct broker_miss_counts *last = &misses->last;
	uint64_t before = misses->swap_ins, refaults;

	if (misses->known) {
		refaults = gain(now->refaults, last->refaults, BROKER_MISSES_A_CALL);
		misses->pending_ns = u64_min(
			misses->pending_ns + gain(now->fetch_ns, last->fetch_ns, NS_MOST), NS_MOST);
		total_add(&misses->claimed,
			  gain(now->swap_ins, last->swap_ins, BROKER_MISSES_A_CALL));
		total_add(&misses->fetched,
			  gain(now->fetches, last->fetches, BROKER_MISSES_A_CALL));
		total_add(&misses->refaults, refaults);
		/* A fetch is a swap-in, which the guest may report later, or not at all. */
		misses->swap_ins = u64_max(misses->claimed, misses->fetched);
		if (now->has_store)
			cost_update(misses, misses->swap_ins - before, refaults);
	}
	misses->known = true;
	misses->last = *now;
}
