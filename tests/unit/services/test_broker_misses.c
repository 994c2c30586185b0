// SPDX-License-Identifier: BSD-2-Clause
/* What the broker is told about a VM's misses: claims of the guest, and the stores' counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "services/broker_misses.h"

static struct broker_misses misses;
static struct broker_miss_counts counts;

static int setup(void **state)
{
	misses = (struct broker_misses){0};
	counts = (struct broker_miss_counts){.has_store = true};
	return 0;
}

static void update(void)
{
	broker_misses_update(&misses, &counts);
}

static void test_gains_are_added(void **state)
{
	counts.swap_ins = 5000;
	counts.refaults = 700;
	update();
	/* What was before the first call is not the VM's loss now. */
	assert_int_equal(misses.swap_ins, 0);
	counts.swap_ins += 10;
	counts.refaults += 3;
	update();
	assert_int_equal(misses.swap_ins, 10);
	assert_int_equal(misses.refaults, 3);
	update();
	assert_int_equal(misses.swap_ins, 10);
}

static void test_a_reboot_keeps_what_was_counted(void **state)
{
	update();
	counts.swap_ins = 1000;
	update();
	counts.swap_ins = 20;
	update();
	assert_int_equal(misses.swap_ins, 1000);
	counts.swap_ins = 30;
	update();
	assert_int_equal(misses.swap_ins, 1010);
}

/* The store saw fetches which the guest does not report, or reports a second later. */
static void test_the_stores_count_is_the_least(void **state)
{
	update();
	counts.fetches = 50;
	update();
	assert_int_equal(misses.swap_ins, 50);
	counts.swap_ins = 60;
	update();
	assert_int_equal(misses.swap_ins, 60);
}

static void test_the_cost_is_measured(void **state)
{
	update();
	counts.swap_ins = counts.fetches = 100;
	counts.fetch_ns = 100 * 2000000ull;
	update();
	assert_int_equal(misses.miss_ns, 2000000 + BROKER_SWAP_IN_NS);
	/* Most swap-ins now find their slot in the window: cheaper, smoothed. */
	for (unsigned i = 0; i < 60; i++) {
		counts.swap_ins += 100;
		update();
	}
	assert_in_range(misses.miss_ns, BROKER_SWAP_IN_NS, BROKER_SWAP_IN_NS + 5);
}

/* The time of a fetch whose swap-in is reported later is not lost. */
static void test_the_cost_waits_for_its_miss(void **state)
{
	update();
	counts.swap_ins = 100;
	update();
	misses.miss_ns = 0;
	counts.fetches = 100;
	counts.fetch_ns = 900000;
	update();
	assert_int_equal(misses.miss_ns, 0);
	counts.swap_ins += 9;
	update();
	assert_int_equal(misses.miss_ns, 100000 + BROKER_SWAP_IN_NS);
}

static void test_refaults_cost_a_read(void **state)
{
	update();
	counts.refaults = 10;
	update();
	assert_int_equal(misses.miss_ns, BROKER_REFAULT_NS);
}

static void test_without_a_store_the_cost_is_unknown(void **state)
{
	counts.has_store = false;
	update();
	counts.swap_ins = 100;
	update();
	assert_int_equal(misses.swap_ins, 100);
	assert_int_equal(misses.miss_ns, 0);
}

static void test_lies_are_bounded(void **state)
{
	update();
	for (unsigned i = 0; i < 10; i++) {
		counts.swap_ins = counts.refaults = i % 2 ? 0 : UINT64_MAX;
		counts.fetch_ns = UINT64_MAX;
		update();
		assert_true(misses.swap_ins <= (i / 2 + 1) * BROKER_MISSES_A_CALL);
		assert_true(misses.refaults <= (i / 2 + 1) * BROKER_MISSES_A_CALL);
		assert_true(misses.miss_ns <= BROKER_MISS_NS_MAX);
	}
	misses.claimed = misses.refaults = INT64_MAX;
	counts.swap_ins = counts.refaults = 0;
	update();
	counts.swap_ins = counts.refaults = UINT64_MAX;
	update();
	assert_int_equal(misses.swap_ins, INT64_MAX);
	assert_int_equal(misses.refaults, INT64_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_gains_are_added),
		TEST(test_a_reboot_keeps_what_was_counted),
		TEST(test_the_stores_count_is_the_least),
		TEST(test_the_cost_is_measured),
		TEST(test_the_cost_waits_for_its_miss),
		TEST(test_refaults_cost_a_read),
		TEST(test_without_a_store_the_cost_is_unknown),
		TEST(test_lies_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
