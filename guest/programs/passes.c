// SPDX-License-Identifier: BSD-2-Clause
#include "passes.h"

#include <unistd.h>

bool pass_step(struct region *region, struct pass_order *order, unsigned int round)
{
	uint64_t dice = random_next(&order->random);
	size_t page = order->at_random ? (dice >> 8) % region->pages : order->next;
	bool right = region_check_words(region, page, order->words, round);

	if (!right)
		region_describe(region, page);
	if ((dice & 0xff) * 100 < order->rewrite * 256ul)
		region_write_page(region, page);
	order->next = (order->next + 1) % region->pages;
	return right;
}

void pass_begin(struct pass_result *result)
{
	*result = (struct pass_result){.counted = vm_counters_read(), .ns = clock_ns()};
}

void pass_end(struct pass_result *result)
{
	struct vm_counters before = result->counted, after;

	result->ns = clock_ns() - result->ns;
	after = vm_counters_read();
	result->counted = (struct vm_counters){
		.swap_in = after.swap_in - before.swap_in,
		.swap_out = after.swap_out - before.swap_out,
		.major_faults = after.major_faults - before.major_faults,
		.faults = after.faults - before.faults,
	};
}

void pass_first_touch(size_t pages, uint32_t distinct, struct pass_result *result)
{
	struct region region;
	size_t swapped, bad = 0;

	if (region_create(&region, pages, (uint32_t)getpid())) {
		*result = (struct pass_result){.bad = 1};
		return;
	}
	region.distinct = distinct;
	region_write(&region);
	swapped = region_pageout(&region, 0, region.pages);
	pass_begin(result);
	for (size_t page = 0; page < region.pages; page++)
		bad += !region_check_words(&region, page, 2, 0);
	pass_end(result);
	result->pages = pages;
	result->swapped = swapped;
	result->bad = bad + region_check(&region);
	region_destroy(&region);
}
