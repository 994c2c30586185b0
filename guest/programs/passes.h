/* SPDX-License-Identifier: BSD-2-Clause */
/* How a working set is passed over and what that is counted by, for swap-workload and swap-agent.
 */
#ifndef SWAP_PASSES_H
#define SWAP_PASSES_H

#include "pages.h"

struct pass_order {
	bool at_random;
	uint64_t random; /* state of the generator */
	size_t next;	 /* page, if not at random */
	unsigned int words;
	unsigned int rewrite; /* percent of the touched pages */
};

struct pass_result {
	size_t pages, bad, swapped;
	uint64_t ns;
	struct vm_counters counted; /* meanwhile */
};

/* Touch the order's next page, whose words are compared as in that round. False: it was bad. */
bool pass_step(struct region *region, struct pass_order *order, unsigned int round);

/* Begin and end what is timed and counted. */
void pass_begin(struct pass_result *result);
void pass_end(struct pass_result *result);

/*
 * What the first touch of a swapped page costs, with RAM enough for all of it: a region of its own
 * is written, paged out (`swapped` pages of it), touched in order, compared whole and dropped.
 */
void pass_first_touch(size_t pages, uint32_t distinct, struct pass_result *result);

#endif
