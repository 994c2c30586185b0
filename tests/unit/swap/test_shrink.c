// SPDX-License-Identifier: BSD-2-Clause
/* Taking granted RAM back: when, how much, and never more than is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "swap/policy/shrink.h"

#define MIB (1ull << 20)

static struct swap_shrink_view usual(void)
{
	return (struct swap_shrink_view){
		.boot = 256 * MIB,
		.requested = 256 * MIB,
		.plugged = 256 * MIB,
		.block_size = 2 * MIB,
		.mem_free = 20 * MIB,
	};
}

static void test_leaves_what_is_needed(void **state)
{
	struct swap_shrink_view view = usual();
	struct swap_shrink shrink = {0};
	uint64_t requested = 1;

	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(swap_shrink_tick(&shrink, &view, &requested), SWAP_SHRINK_NONE);
	/* Nothing was granted, so nothing can be taken back. */
	view.requested = view.plugged = view.floor = 100 * MIB;
	view.pressed = true;
	view.over_budget = 50 * MIB;
	view.mem_free = 200 * MIB;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(swap_shrink_tick(&shrink, &view, &requested), SWAP_SHRINK_NONE);
	assert_int_equal(requested, 1);
}

static void test_idle(void **state)
{
	struct swap_shrink_view view = usual();
	struct swap_shrink shrink = {0};
	uint64_t requested = 0;
	unsigned ticks = 1;

	view.mem_free = 300 * MIB;
	while (swap_shrink_tick(&shrink, &view, &requested) == SWAP_SHRINK_NONE)
		ticks++;
	assert_int_equal(ticks, 30);
	assert_in_range(requested, 100 * MIB, 140 * MIB);
	/* Not at every tick after that. */
	assert_int_equal(swap_shrink_tick(&shrink, &view, &requested), SWAP_SHRINK_NONE);
	/* A moment of need starts the time again. */
	view.mem_free = 0;
	swap_shrink_tick(&shrink, &view, &requested);
	view.mem_free = 300 * MIB;
	for (ticks = 0; ticks < 29; ticks++)
		assert_int_equal(swap_shrink_tick(&shrink, &view, &requested), SWAP_SHRINK_NONE);
}

static void test_pressure(void **state)
{
	struct swap_shrink_view view = usual();
	struct swap_shrink shrink = {0};
	uint64_t requested, ticks = 0;

	view.pressed = true;
	view.floor = 10 * MIB;
	while (swap_shrink_tick(&shrink, &view, &requested) == SWAP_SHRINK_PRESSURE) {
		assert_true(requested < view.requested && requested >= view.floor);
		view.requested = requested;
		/* The guest does not obey: the service asks no more back until it does. */
		assert_int_equal(swap_shrink_tick(&shrink, &view, &requested),
				 view.plugged > view.requested + 16 * MIB ? SWAP_SHRINK_NONE
				 : view.requested == view.floor		  ? SWAP_SHRINK_NONE
									  : SWAP_SHRINK_PRESSURE);
		view.plugged = view.requested;
		ticks++;
	}
	assert_int_equal(view.requested, view.floor);
	assert_in_range(ticks, 4, 20);
}

static void test_budget(void **state)
{
	struct swap_shrink_view view = usual();
	struct swap_shrink shrink = {0};
	uint64_t requested;

	view.over_budget = 50 * MIB + 1;
	assert_int_equal(swap_shrink_tick(&shrink, &view, &requested), SWAP_SHRINK_BUDGET);
	assert_int_equal(requested, 204 * MIB);
	view.over_budget = UINT64_MAX;
	assert_int_equal(swap_shrink_tick(&shrink, &view, &requested), SWAP_SHRINK_BUDGET);
	assert_int_equal(requested, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaves_what_is_needed),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
