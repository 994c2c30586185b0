// SPDX-License-Identifier: BSD-2-Clause
/* What each policy must hold, whatever the VMs say; and what each is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/policy/policy.h"

#define MIB    (1ull << 20)
#define SECOND 1000000000ull
#define VMS    40u
#define SHARE  (8192 * MIB)

static const char *const names[] = {"demand", "proportional", "static"};
static uint64_t random_state;

static uint64_t random_below(uint64_t most)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 20) % most;
}

/* A VM that holds @leased, and wants that much. */
static struct broker_vm_view vm(uint64_t id, uint64_t leased, uint64_t want)
{
	return (struct broker_vm_view){
		.id = id,
		.min = 64 * MIB,
		.max = 4096 * MIB,
		.weight = 100,
		.leased = leased,
		.used = leased,
		.want = want,
	};
}

struct run {
	const struct broker_policy *policy;
	void *state;
	struct broker_host_view host;
};

static struct run run_begin(const char *name, uint64_t share)
{
	struct run run = {.policy = broker_policy_find(name),
			  .host = {.share = share, .free = share, .now_ns = SECOND}};

	assert_non_null(run.policy);
	if (run.policy->state_size)
		run.state = calloc(1, run.policy->state_size);
	return run;
}

static void run_decide(struct run *run, const struct broker_vm_view *vms, size_t count,
		       uint64_t *targets)
{
	run->host.now_ns += SECOND / 4;
	run->policy->decide(run->state, &run->host, vms, count, targets);
}

static void run_end(struct run *run)
{
	free(run->state);
}

static void random_vms(struct broker_vm_view *vms, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct broker_vm_view *one = &vms[i];

		one->id = i + 1 + random_below(3) * VMS;
		one->min = random_below(SHARE / VMS);
		one->max = one->min + random_below(SHARE * 2);
		one->weight = 1 + random_below(10000);
		one->leased = one->min + random_below(one->max - one->min + 1);
		one->used = random_below(one->max + 1);
		one->idle = random_below(one->leased + 1);
		one->want = one->min + random_below(one->max - one->min + 1);
		one->refaults = random_below(4) ? random_below(1 << 20) : UINT64_MAX;
		one->swap_ins = random_below(4) ? random_below(1 << 20) : UINT64_MAX;
		one->psi_some = random_below(20000);
		one->psi_full = random_below(20000);
		one->miss_ns = random_below(4) ? random_below(SECOND) : UINT64_MAX;
	}
}

static void test_table(void **state)
{
	char text[128];

	broker_policy_names(text, sizeof(text));
	for (unsigned i = 0; i < 3; i++) {
		assert_non_null(strstr(text, names[i]));
		assert_string_equal(broker_policy_find(names[i])->name, names[i]);
	}
	assert_null(broker_policy_find("greedy"));
	assert_null(broker_policy_find(""));
}

/* The promises of policy.h, whatever the VMs and the host say. */
static void test_rules_hold_for_any_words(void **state)
{
	random_state = 5;
	for (unsigned i = 0; i < 3; i++) {
		struct run run = run_begin(names[i], SHARE);

		for (unsigned round = 0; round < 400; round++) {
			struct broker_vm_view vms[VMS];
			uint64_t targets[VMS], sum = 0;
			size_t count = random_below(VMS + 1);

			random_vms(vms, count);
			run.host.free = random_below(2) ? random_below(SHARE) : 0;
			run.host.psi_full = random_below(4000);
			run_decide(&run, vms, count, targets);
			for (size_t j = 0; j < count; j++) {
				assert_true(targets[j] >= vms[j].min && targets[j] <= vms[j].max);
				sum += targets[j];
			}
			assert_true(sum <= SHARE);
		}
		run_end(&run);
	}
}

/* Mins that do not fit: each has its min, and no more. */
static void test_mins_come_first(void **state)
{
	const struct broker_claim claims[] = {{600, 9000, 1, UINT64_MAX},
					      {500, 9000, 10000, UINT64_MAX}};
	uint64_t out[2];

	broker_share_out(1000, 2, claims, out);
	assert_int_equal(out[0], 600);
	assert_int_equal(out[1], 500);
}

static void test_share_out_is_exact(void **state)
{
	struct broker_claim claims[] = {{0, 1 << 30, 100, UINT64_MAX},
					{0, 1 << 30, 300, UINT64_MAX},
					{100, 200, 100, UINT64_MAX}};
	uint64_t out[3];

	broker_share_out(1 << 20, 3, claims, out);
	assert_int_equal(out[2], 200); /* its high */
	assert_in_range(out[0], ((1 << 20) - 200) / 4 - 1, ((1 << 20) - 200) / 4);
	assert_in_range(out[1], 3 * (((1 << 20) - 200) / 4) - 3, 3 * (((1 << 20) - 200) / 4) + 3);
	/* More than all want. */
	broker_share_out(UINT64_MAX, 3, claims, out);
	assert_int_equal(out[0] + out[1] + out[2], (2ull << 30) + 200);
	/* Beyond what is active, a byte costs four. */
	claims[0].weight = claims[1].weight = 100;
	claims[1].active = 1000;
	broker_share_out(9000 + 200, 3, claims, out);
	assert_in_range(out[0], 6598, 6600);
	assert_in_range(out[1], 2398, 2400);
}

static void test_static_looks_at_weights_alone(void **state)
{
	struct broker_vm_view vms[] = {vm(1, 64 * MIB, 64 * MIB), vm(2, 3000 * MIB, 4096 * MIB)};
	struct run run = run_begin("static", 4000 * MIB);
	uint64_t targets[2];

	vms[0].weight = 300;
	run_decide(&run, vms, 2, targets);
	assert_in_range(targets[0], 2999 * MIB, 3000 * MIB);
	assert_in_range(targets[1], 999 * MIB, 1000 * MIB);
	run_end(&run);
}

/* With room for all, each has what it wants, and nobody is asked to return anything. */
static void test_enough_for_all(void **state)
{
	static const char *const both[] = {"demand", "proportional"};
	struct broker_vm_view vms[] = {vm(1, 2000 * MIB, 100 * MIB), vm(2, 500 * MIB, 900 * MIB)};

	for (unsigned i = 0; i < 2; i++) {
		struct run run = run_begin(both[i], 4000 * MIB);
		uint64_t targets[2];

		run_decide(&run, vms, 2, targets);
		assert_int_equal(targets[0], 2000 * MIB);
		assert_int_equal(targets[1], 900 * MIB);
		/* But if the other needs it, the one that does not want it returns it. */
		run.host.share = 2500 * MIB;
		vms[1].want = 2300 * MIB;
		run_decide(&run, vms, 2, targets);
		assert_in_range(targets[1], 2299 * MIB, 2300 * MIB);
		assert_in_range(targets[0], 100 * MIB, 201 * MIB);
		vms[1].want = 900 * MIB;
		run_end(&run);
	}
}

/* Both want all. One uses what it has, the other holds it idle. */
static void test_demand_taxes_idle_memory(void **state)
{
	struct broker_vm_view vms[] = {vm(1, 2000 * MIB, 4000 * MIB),
				       vm(2, 2000 * MIB, 4000 * MIB)};
	struct run run = run_begin("demand", 4000 * MIB);
	uint64_t targets[2];

	vms[1].idle = vms[1].leased;
	run_decide(&run, vms, 2, targets);
	assert_in_range(targets[0], 3199 * MIB, 3200 * MIB); /* 4 of 5 parts */
	assert_in_range(targets[1], 799 * MIB, 800 * MIB);
	run_end(&run);
}

/*
 * What a decision gives does not make the next one take it away. The first VM uses 1000 MiB of what
 * it has, the second wants more than there is. What they hold follows the targets.
 */
static void test_demand_settles(void **state)
{
	for (unsigned hoards = 0; hoards < 2; hoards++) {
		struct broker_vm_view vms[] = {vm(1, 1900 * MIB, (hoards ? 4000 : 1000) * MIB),
					       vm(2, 100 * MIB, 4000 * MIB)};
		struct run run = run_begin("demand", 2000 * MIB);
		uint64_t targets[2], before = 0;

		for (unsigned i = 0; i < 14; i++) {
			vms[0].used = vms[0].leased < 1000 * MIB ? vms[0].leased : 1000 * MIB;
			vms[0].idle = vms[0].leased - vms[0].used;
			vms[1].used = vms[1].leased;
			run_decide(&run, vms, 2, targets);
			if (i > 0)
				assert_int_equal(targets[0], before);
			before = targets[0];
			vms[0].leased = targets[0];
			vms[1].leased = targets[1];
		}
		assert_in_range(targets[0], 999 * MIB, 1001 * MIB);
		assert_in_range(targets[1], 998 * MIB, 1001 * MIB);
		run_end(&run);
	}
}

/* A burst finds something free: leases that nobody needs do not take all. */
static void test_demand_keeps_a_reserve(void **state)
{
	struct broker_vm_view vms[] = {vm(1, 2000 * MIB, 200 * MIB), vm(2, 2000 * MIB, 200 * MIB)};
	struct run run = run_begin("demand", 4000 * MIB);
	uint64_t targets[2];

	run_decide(&run, vms, 2, targets);
	assert_in_range(targets[0] + targets[1], 3749 * MIB, 3750 * MIB);
	/* It is there to be used. */
	vms[0].want = vms[1].want = 2000 * MIB;
	run_decide(&run, vms, 2, targets);
	assert_in_range(targets[0] + targets[1], 3999 * MIB, 4000 * MIB);
	run_end(&run);
}

/* The one that loses time gets more, with each decision, and not without an end. */
static void test_demand_gives_where_time_is_lost(void **state)
{
	struct broker_vm_view vms[] = {vm(1, 2000 * MIB, 4000 * MIB),
				       vm(2, 2000 * MIB, 4000 * MIB)};
	struct run run = run_begin("demand", 4000 * MIB);
	uint64_t targets[2], before = 2000 * MIB;

	run_decide(&run, vms, 2, targets);
	for (unsigned i = 0; i < 40; i++) {
		vms[0].swap_ins += 10000;
		vms[0].miss_ns = UINT64_MAX; /* it may claim anything */
		run_decide(&run, vms, 2, targets);
		assert_true(targets[0] + MIB >= before);
		before = targets[0];
	}
	assert_in_range(targets[0], 3300 * MIB, 3334 * MIB); /* 5 of 6 parts */
	assert_true(targets[1] >= 600 * MIB);
	/* When the losses end, so does the advantage. */
	for (unsigned i = 0; i < 60; i++)
		run_decide(&run, vms, 2, targets);
	assert_in_range(targets[0], 1990 * MIB, 2260 * MIB);
	run_end(&run);
}

/* Wishes that vary a little move nothing: each recall costs the VM that is recalled. */
static void test_demand_is_calm(void **state)
{
	struct broker_vm_view vms[] = {vm(1, 1900 * MIB, 2000 * MIB),
				       vm(2, 1900 * MIB, 2000 * MIB)};
	struct run run = run_begin("demand", 3800 * MIB);
	uint64_t targets[2];

	random_state = 9;
	for (unsigned i = 0; i < 100; i++) {
		vms[0].want = (1850 + random_below(100)) * MIB;
		vms[1].want = (1850 + random_below(100)) * MIB;
		run_decide(&run, vms, 2, targets);
		assert_true(targets[0] + targets[1] <= run.host.share);
		for (unsigned j = 0; j < 2; j++) {
			assert_true(targets[j] >= vms[j].leased);
			vms[j].leased = targets[j];
		}
	}
	run_end(&run);
}

/* A host that lacks memory gets it back step by step, and the mins stay. */
static void test_demand_yields_to_the_host(void **state)
{
	struct broker_vm_view vms[] = {vm(1, 2000 * MIB, 2000 * MIB),
				       vm(2, 2000 * MIB, 2000 * MIB)};
	struct run run = run_begin("demand", 4000 * MIB);
	uint64_t targets[2], before = 4000 * MIB;

	run.host.psi_full = 5000;
	for (unsigned i = 0; i < 100; i++) {
		run.host.now_ns += 10 * SECOND;
		run_decide(&run, vms, 2, targets);
		assert_true(targets[0] + targets[1] < before || before <= 129 * MIB);
		before = targets[0] + targets[1];
		vms[0].leased = vms[0].used = targets[0];
		vms[1].leased = vms[1].used = targets[1];
	}
	assert_int_equal(before, 128 * MIB);
	run_end(&run);
}

static void test_demand_is_explained(void **state)
{
	struct run run = run_begin("demand", 1024 * MIB);
	struct broker_vm_view vms[2] = {vm(1, 512 * MIB, 1000 * MIB), vm(2, 512 * MIB, 512 * MIB)};
	uint64_t targets[2];
	char text[512];

	vms[0].miss_ns = 1000;
	vms[1].idle = 300 * MIB;
	/* A decision is 1.25 s after the last one, which its misses of 1 us take as a whole. */
	for (unsigned i = 0; i < 60; i++) {
		run.host.now_ns += SECOND;
		vms[0].swap_ins += 750000;
		vms[0].refaults += 500000;
		run_decide(&run, vms, 2, targets);
	}
	run.policy->explain(run.state, &vms[0], text, sizeof(text));
	assert_string_equal(text, "idle tax: 0 MiB of it are idle and count 4 times; marginal "
				  "loss: it loses 100.00 % of its time by misses, so its weight "
				  "counts 5.00 times");
	run.policy->explain(run.state, &vms[1], text, sizeof(text));
	assert_string_equal(text, "idle tax: 300 MiB of it are idle and count 4 times; marginal "
				  "loss: it loses 0.00 % of its time by misses, so its weight "
				  "counts 1.00 times");
	vms[0].id = 3; /* not yet decided about */
	run.policy->explain(run.state, &vms[0], text, sizeof(text));
	assert_non_null(strstr(text, "loses 0.00 %"));
	free(run.state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_rules_hold_for_any_words),
		cmocka_unit_test(test_mins_come_first),
		cmocka_unit_test(test_share_out_is_exact),
		cmocka_unit_test(test_static_looks_at_weights_alone),
		cmocka_unit_test(test_enough_for_all),
		cmocka_unit_test(test_demand_taxes_idle_memory),
		cmocka_unit_test(test_demand_settles),
		cmocka_unit_test(test_demand_keeps_a_reserve),
		cmocka_unit_test(test_demand_gives_where_time_is_lost),
		cmocka_unit_test(test_demand_is_calm),
		cmocka_unit_test(test_demand_yields_to_the_host),
		cmocka_unit_test(test_demand_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
