// SPDX-License-Identifier: BSD-2-Clause
/* Swap policies: their decisions in invented situations, and that nonsense breaks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "swap/policy/policy.h"

#define MIB (1ull << 20)

/*
 * A guest of 256 MiB, short of RAM, with 160 MiB swapped out that come back at once, that may have
 * 512 MiB more from a host at ease.
 */
static struct swap_situation usual(void)
{
	return (struct swap_situation){
		.query =
			{
				.weight = SWAP_WEIGHT_USUAL,
				.vma_start = 0x10000000,
				.vma_end = 0x10000000 + 400 * MIB,
				.memcg_limit = UINT64_MAX,
				.mem_total = 240 * MIB,
				.mem_free = 6 * MIB,
				.mem_available = 10 * MIB,
				.high_watermark = 4 * MIB,
				.swap_used = 160 * MIB,
				.swap_in = 20000,
				.refault_anon = 18000,
			},
		.asked = true,
		.hints = SYM_SWAP_DECIDE_CANMAP,
		.swap_ins = 1000,
		.refaults = 900,
		.can_grow = true,
		.limit = 512 * MIB,
		.block_size = 2 * MIB,
		.room = UINT64_MAX,
	};
}

static struct swap_decision decide(const char *name, const struct swap_situation *situation)
{
	const struct swap_policy *policy = swap_policy_find(name);
	struct swap_decision decision = {.kind = SYM_VERDICT_COPY};
	void *state;

	assert_non_null(policy);
	state = policy->state_size ? calloc(1, policy->state_size) : NULL;
	policy->decide(state, situation, &decision);
	free(state);
	return decision;
}

static void expect(const char *policy, const struct swap_situation *situation, uint32_t kind,
		   enum swap_reason reason)
{
	struct swap_decision decision = decide(policy, situation);

	if (decision.kind != kind || decision.reason != reason)
		fail_msg("%s: verdict %u for '%s', not %u for '%s'", policy, decision.kind,
			 swap_reason_name(decision.reason), kind, swap_reason_name(reason));
	if (reason != SWAP_REASON_GRANT_GIVEN)
		assert_int_equal(decision.grow, 0);
	assert_true(decision.credit > 0);
}

static void test_table(void **state)
{
	char names[128];

	swap_policy_names(names, sizeof(names));
	assert_non_null(strstr(names, "grant"));
	assert_non_null(strstr(names, "auto"));
	swap_policy_names(names, 8);
	assert_int_equal(strlen(names), 7);
	assert_null(swap_policy_find("greedy"));
	assert_null(swap_policy_find(""));
	assert_int_equal(swap_policy_find("off")->verdicts, 0);
	assert_int_equal(swap_policy_find("auto")->verdicts, SYM_SWAP_ASK_OUT | 7);
	assert_int_equal(swap_policy_find("map")->verdicts & SYM_SWAP_ASK_OUT, 0);
	for (unsigned i = 0; i < SWAP_REASON_COUNT; i++) {
		assert_non_null(swap_reason_name(i));
		assert_non_null(swap_reason_help(i));
	}
}

static void test_off_and_copy(void **state)
{
	struct swap_situation situation = usual();

	expect("off", &situation, SYM_VERDICT_COPY, SWAP_REASON_OFF);
	expect("copy", &situation, SYM_VERDICT_COPY, SWAP_REASON_COPY);
	assert_int_equal(decide("copy", &situation).credit, SWAP_CREDIT_MAX);
	assert_null(swap_policy_find("copy")->wants_query);
	assert_null(swap_policy_find("off")->wants_query);
}

/* A guest that begins to swap out: it has neither free memory nor page cache. */
static struct swap_situation swapping_out(void)
{
	struct swap_situation situation = usual();

	situation.hints = SYM_SWAP_DECIDE_OUT;
	situation.query.swap_used = situation.query.swap_in = situation.query.refault_anon = 0;
	situation.query.mem_available = situation.query.mem_free;
	situation.requested = situation.plugged = 0;
	return situation;
}

static void test_gives_before_the_swap_out(void **state)
{
	static const char *const policies[] = {"grant", "auto"};

	for (unsigned i = 0; i < 2; i++) {
		struct swap_situation situation = swapping_out();
		uint64_t first, second;

		expect(policies[i], &situation, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
		first = decide(policies[i], &situation).grow;
		assert_true(first >= situation.query.mem_total / 8);
		/* The next step is as large as all before it. */
		situation.requested = situation.plugged = 2 * first;
		second = decide(policies[i], &situation).grow;
		assert_true(second >= 2 * first && second < 3 * first);
		/* The guest asks again soon, whatever is free now. */
		situation.query.mem_free = situation.query.mem_total / 2;
		expect(policies[i], &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_ENOUGH);
		assert_true(decide(policies[i], &situation).credit <= 64);
	}
}

/* A guest that reads a big file swaps a little: it has page cache to give up, and gets nothing. */
static void test_gives_nothing_for_page_cache(void **state)
{
	struct swap_situation situation = swapping_out();

	situation.query.mem_available = situation.query.mem_free + situation.query.mem_total / 4;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_CACHE);
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_CACHE);
	/* Other refusals are those of a swap-in. */
	situation = swapping_out();
	situation.query.flags = SYM_SWAP_QUERY_MEMCG;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_MEMCG);
	situation = swapping_out();
	situation.pressed = true;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_PRESSURE);
}

static void test_grant_gives(void **state)
{
	struct swap_situation situation = usual();
	struct swap_decision decision;

	expect("grant", &situation, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
	decision = decide("grant", &situation);
	/* Half of what is swapped out, and past the mark at which kswapd sleeps. */
	assert_in_range(decision.grow, 80 * MIB, 84 * MIB);
	assert_int_equal(decision.grow % situation.block_size, 0);
	/* The pages that came back in the meantime, if they are more. */
	situation.refaults = 30000;
	assert_in_range(decide("grant", &situation).grow, 117 * MIB, 122 * MIB);
	/* Never for pages that are not even swapped out. */
	situation.refaults = 1ull << 30;
	assert_in_range(decide("grant", &situation).grow, 160 * MIB, 164 * MIB);
	/* Little, but enough to be worth it. */
	situation.refaults = 0;
	situation.query.swap_used = 4096;
	assert_in_range(decide("grant", &situation).grow, 16 * MIB, 20 * MIB);
	/* No more than there is. */
	situation = usual();
	situation.requested = situation.plugged = 500 * MIB;
	assert_int_equal(decide("grant", &situation).grow, 12 * MIB);
	situation = usual();
	situation.room = 21 * MIB;
	assert_int_equal(decide("grant", &situation).grow, 20 * MIB);
}

static void test_grant_refuses(void **state)
{
	struct swap_situation situation = usual();

	situation.query.flags = SYM_SWAP_QUERY_MEMCG;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_MEMCG);
	situation = usual();
	situation.requested = situation.plugged = 511 * MIB;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_MAX);
	assert_false(swap_policy_find("grant")->wants_query(NULL, &situation));
	situation = usual();
	situation.pressed = true;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_PRESSURE);
	situation = usual();
	situation.room = MIB;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_BUDGET);
	situation = usual();
	situation.can_grow = false;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_NO_DEVICE);
	situation = usual();
	situation.query.mem_free = 200 * MIB;
	expect("grant", &situation, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_ENOUGH);
	situation = usual();
	situation.requested = 100 * MIB;
	situation.plugged = 50 * MIB;
	expect("grant", &situation, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_PENDING);
	situation.stalled = true;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_STALLED);
	situation = usual();
	assert_true(swap_policy_find("grant")->wants_query(NULL, &situation));
	situation.asked = false;
	expect("grant", &situation, SYM_VERDICT_COPY, SWAP_REASON_COPY_UNASKED);
}

static void test_map(void **state)
{
	struct swap_situation situation = usual();

	expect("map", &situation, SYM_VERDICT_MAP, SWAP_REASON_MAP_GIVEN);
	assert_int_equal(decide("map", &situation).around, 512);
	situation.query.vma_end = situation.query.vma_start + 4096;
	assert_int_equal(decide("map", &situation).around, 128);
	situation.query.vma_end = 0;
	assert_int_equal(decide("map", &situation).around, 128);
	situation = usual();
	situation.hints |= SYM_SWAP_DECIDE_SHARED;
	expect("map", &situation, SYM_VERDICT_COPY, SWAP_REASON_MAP_SHARED);
	situation.hints = 0;
	expect("map", &situation, SYM_VERDICT_COPY, SWAP_REASON_MAP_CANNOT);
	situation = usual();
	situation.query.flags = SYM_SWAP_QUERY_KERNEL;
	expect("map", &situation, SYM_VERDICT_COPY, SWAP_REASON_MAP_CANNOT);
	/* Under any limit, near or far: no cgroup would be charged for mapped slots. */
	situation = usual();
	situation.query.memcg_limit = 1ull << 40;
	expect("map", &situation, SYM_VERDICT_COPY, SWAP_REASON_MAP_MEMCG);
	situation = usual();
	situation.query.flags = SYM_SWAP_QUERY_MEMCG;
	expect("map", &situation, SYM_VERDICT_COPY, SWAP_REASON_MAP_MEMCG);
	situation = usual();
	situation.asked = false;
	expect("map", &situation, SYM_VERDICT_COPY, SWAP_REASON_COPY_UNASKED);
}

static void test_auto(void **state)
{
	struct swap_situation situation = usual();

	expect("auto", &situation, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
	/* Full: the slot is host memory already. */
	situation.requested = situation.plugged = 512 * MIB;
	expect("auto", &situation, SYM_VERDICT_MAP, SWAP_REASON_MAP_GIVEN);
	situation = usual();
	situation.pressed = true;
	expect("auto", &situation, SYM_VERDICT_MAP, SWAP_REASON_MAP_GIVEN);
	/* Neither is possible. */
	situation.hints = 0;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_PRESSURE);
	/* Read once. */
	situation = usual();
	situation.refaults = 100;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_COPY_COLD);
	/* The first question: the guest's whole life is the period. */
	situation.first = true;
	situation.swap_ins = situation.refaults = 0;
	expect("auto", &situation, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
	situation.query.refault_anon = 10;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_COPY_COLD);
	/* Its cgroup's own limit makes it swap: neither RAM nor a way round the limit. */
	situation = usual();
	situation.query.flags = SYM_SWAP_QUERY_MEMCG;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_GRANT_MEMCG);
	situation = usual();
	situation.asked = false;
	expect("auto", &situation, SYM_VERDICT_COPY, SWAP_REASON_COPY_UNASKED);
}

/* The heavier cgroup has what is short, and asks less often. */
static void test_weights(void **state)
{
	struct swap_situation light = usual(), heavy = usual();

	light.query.weight = 10;
	heavy.query.weight = 1000;
	/* Enough for all. */
	expect("auto", &light, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
	expect("auto", &heavy, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
	assert_true(decide("auto", &heavy).credit > decide("auto", &light).credit);
	/* Not enough for all that is wanted. */
	light.room = heavy.room = 20 * MIB;
	expect("auto", &light, SYM_VERDICT_COPY, SWAP_REASON_COPY_LIGHT);
	expect("grant", &light, SYM_VERDICT_COPY, SWAP_REASON_COPY_LIGHT);
	expect("auto", &heavy, SYM_VERDICT_GRANT, SWAP_REASON_GRANT_GIVEN);
	/* Nothing left: mappings for the heavier. */
	light.room = heavy.room = 0;
	expect("auto", &light, SYM_VERDICT_COPY, SWAP_REASON_COPY_LIGHT);
	expect("auto", &heavy, SYM_VERDICT_MAP, SWAP_REASON_MAP_GIVEN);
	assert_true(decide("map", &heavy).credit > decide("map", &light).credit);
}

static uint64_t random_value(void)
{
	static const uint64_t values[] = {0,	   1,	       4096,	   MIB,
					  1 << 30, 1ull << 46, 1ull << 32, 3 * MIB + 5};

	return values[(unsigned)rand() % 8] + (rand() % 4 ? 0 : (uint64_t)rand());
}

/* Any answers of the guest (in the bounds that manager.c sets), and any values of the host. */
static void test_nonsense(void **state)
{
	static const char *const names[] = {"off", "copy", "grant", "map", "auto"};

	srand(1);
	for (unsigned i = 0; i < 200000; i++) {
		struct swap_situation situation = usual();
		const char *name = names[i % 5];
		struct swap_decision decision;

		situation.query.mem_free = random_value();
		situation.query.high_watermark = random_value();
		situation.query.swap_used = random_value();
		situation.query.swap_in = random_value() * random_value();
		situation.query.refault_anon = random_value() * random_value();
		situation.query.vma_start = random_value() * random_value();
		situation.query.vma_end = random_value() * random_value();
		situation.query.memcg_limit = rand() % 2 ? UINT64_MAX : random_value();
		situation.query.weight = 1 + (uint32_t)rand() % 10000;
		situation.query.flags = rand() % 3 ? 0 : (uint32_t)rand();
		situation.hints = (uint32_t)rand();
		situation.swap_ins = random_value() / 4096;
		situation.refaults = random_value() / 4096;
		situation.limit = random_value() / (2 * MIB) * (2 * MIB);
		situation.requested = situation.limit ? random_value() % (situation.limit + 1) : 0;
		situation.requested -= situation.requested % (2 * MIB);
		situation.plugged = random_value();
		situation.room = rand() % 2 ? UINT64_MAX : random_value();
		situation.asked = rand() % 8;
		situation.first = rand() % 2;
		decision = decide(name, &situation);
		assert_true(decision.kind <= SYM_VERDICT_MAP);
		assert_true(swap_policy_find(name)->verdicts == 0 ||
			    (swap_policy_find(name)->verdicts >> decision.kind & 1));
		assert_true(decision.credit > 0 && decision.credit <= SWAP_CREDIT_MAX);
		assert_true(decision.around <= 512);
		assert_true((decision.kind == SYM_VERDICT_MAP) == (decision.around > 0));
		assert_true(decision.reason < SWAP_REASON_COUNT);
		assert_true((decision.reason == SWAP_REASON_GRANT_GIVEN) == (decision.grow > 0));
		assert_true(decision.grow <= situation.room);
		assert_true(situation.requested + decision.grow <= situation.limit ||
			    decision.grow == 0);
		assert_int_equal(decision.grow % (2 * MIB), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_off_and_copy),
		cmocka_unit_test(test_gives_before_the_swap_out),
		cmocka_unit_test(test_gives_nothing_for_page_cache),
		cmocka_unit_test(test_grant_gives),
		cmocka_unit_test(test_grant_refuses),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_auto),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
