// SPDX-License-Identifier: BSD-2-Clause
/* The lease machine and the accounts, with a clock of the test's own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/accounts.h"

#define MIB    (1ull << 20)
#define SECOND 1000000000ull
#define RECALL (10 * SECOND)

/* Gives each VM what it wants. */
static void wants_decide(void *state, const struct broker_host_view *host,
			 const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	for (size_t i = 0; i < count; i++)
		targets[i] = vms[i].want;
}

/* Wants the impossible: everything for everybody. */
static void mad_decide(void *state, const struct broker_host_view *host,
		       const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	for (size_t i = 0; i < count; i++)
		targets[i] = i % 2 ? UINT64_MAX : 0;
}

static const struct broker_policy wants = {.name = "wants", .decide = wants_decide};
static const struct broker_policy mad = {.name = "mad", .decide = mad_decide};

static struct accounts *accounts;
static uint64_t now;
static unsigned refusals;

static int setup(void **state)
{
	const struct accounts_config config = {
		.share = 1000 * MIB, .recall_ns = RECALL, .policy = &wants};
	struct error err;

	now = 1000 * SECOND;
	refusals = 0;
	return accounts_create(&config, &accounts, &err);
}

static int teardown(void **state)
{
	accounts_destroy(accounts);
	return 0;
}

static void on_refused(void *opaque, struct accounts_vm *vm)
{
	refusals++;
	accounts_leave(accounts, vm);
}

/* The rule: whatever happened, what is charged is within the share. */
static uint64_t charges(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++)
		if (accounts->vms[i].present)
			sum += lease_charge(&accounts->vms[i].lease);
	return sum;
}

static void tick(uint64_t ns)
{
	now += ns;
	accounts_tick(accounts, now, on_refused, NULL);
}

static int join(const char *name, uint64_t min, uint64_t max, struct accounts_vm **vm,
		struct error *err)
{
	const struct accounts_join join = {
		.name = name, .min = min * MIB, .max = max * MIB, .weight = 100};

	return accounts_join(accounts, &join, now, vm, err);
}

static struct accounts_vm *joined(const char *name, uint64_t min, uint64_t max)
{
	struct accounts_vm *vm;
	struct error err;

	assert_int_equal(join(name, min, max, &vm, &err), 0);
	return vm;
}

/* The VM says what it holds, for the lease that it was told last, and wants @want. */
static void says(struct accounts_vm *vm, uint64_t held, uint64_t want)
{
	const struct accounts_demand demand = {
		.held = held * MIB, .want = want * MIB, .serial = vm->serial};

	accounts_demand(accounts, vm, &demand);
	accounts_settle(accounts);
}

static struct accounts_vm *rich(const char *name)
{
	struct accounts_vm *vm = joined(name, 100, 2000);

	says(vm, 100, 900);
	tick(SECOND);
	assert_int_equal(vm->lease.granted, 900 * MIB);
	says(vm, 900, 900);
	return vm;
}

static void test_grows_into_what_is_free(void **state)
{
	struct accounts_vm *vm = joined("a", 100, 2000);

	assert_int_equal(vm->told, 100 * MIB);
	assert_true(vm->tell);
	says(vm, 100, 5000);
	tick(SECOND);
	assert_int_equal(vm->lease.granted, 1000 * MIB);
	assert_int_equal(accounts_free(accounts), 0);
}

static void test_a_full_host_names_what_is_missing(void **state)
{
	struct accounts_vm *vm;
	struct error err;

	joined("a", 700, 700);
	assert_int_equal(join("b", 500, 500, &vm, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "200 MiB are missing for the 500 MiB that 'b' needs"));
	assert_int_equal(accounts->count, 1);
}

static void test_min_is_recalled_from_others(void **state)
{
	struct accounts_vm *a = rich("a"), *b;
	struct error err;

	assert_int_equal(join("b", 300, 300, &b, &err), -EAGAIN);
	tick(SECOND);
	assert_int_equal(a->lease.state, LEASE_RECALLED);
	assert_int_equal(a->told, 700 * MIB);
	assert_int_equal(b->lease.state, LEASE_WAITING);
	/* Half of it is not enough. */
	says(a, 800, 900);
	assert_int_equal(b->lease.state, LEASE_WAITING);
	says(a, 700, 900);
	assert_int_equal(b->lease.state, LEASE_HELD);
	assert_int_equal(a->lease.state, LEASE_HELD);
	assert_int_equal(charges(), 1000 * MIB);
}

static void test_a_wish_takes_from_the_idle_one(void **state)
{
	struct accounts_vm *a = rich("a"), *b = joined("b", 100, 2000);

	says(a, 900, 200);
	says(b, 100, 800);
	tick(SECOND);
	assert_int_equal(a->told, 200 * MIB);
	assert_int_equal(b->lease.granted, 100 * MIB);
	says(a, 200, 200);
	assert_int_equal(b->lease.granted, 800 * MIB);
	assert_true(b->tell);
}

static void test_old_words_return_nothing(void **state)
{
	struct accounts_vm *a = rich("a");
	struct accounts_demand demand = {.held = 100 * MIB, .want = 200 * MIB, .serial = a->serial};

	says(a, 900, 200);
	tick(SECOND);
	assert_int_equal(a->lease.state, LEASE_RECALLED);
	/* It was sent before the recall was seen. */
	accounts_demand(accounts, a, &demand);
	assert_int_equal(a->lease.granted, 900 * MIB);
}

static void test_who_ignores_a_recall_costs_nobody_else(void **state)
{
	struct accounts_vm *a = rich("a"), *b = joined("b", 100, 2000);

	accounts_used(a, 900 * MIB, false);
	says(a, 900, 200);
	says(b, 100, 500);
	tick(SECOND);
	tick(RECALL);
	assert_int_equal(a->lease.state, LEASE_OVERDUE);
	assert_int_equal(a->overdue, 1);
	/* What it really uses is not lent to anybody. */
	assert_int_equal(charges(), 1000 * MIB);
	assert_int_equal(b->lease.granted, 100 * MIB);
	/* Its ceiling is its target now, and never below its min. */
	assert_int_equal(lease_ceiling(&a->lease), 200 * MIB + LEASE_SLACK);
	/* The kernel takes it, step by step. */
	accounts_used(a, 600 * MIB, true);
	assert_int_equal(a->lease.state, LEASE_OVERDUE);
	assert_int_equal(charges(), 700 * MIB);
	accounts_used(a, 200 * MIB, true);
	assert_int_equal(a->lease.state, LEASE_HELD);
	tick(SECOND);
	assert_int_equal(b->lease.granted, 500 * MIB);
	assert_true(charges() <= 1000 * MIB);
}

static void test_a_liar_is_charged_by_its_account(void **state)
{
	struct accounts_vm *a = rich("a"), *b = joined("b", 100, 2000);

	accounts_used(a, 900 * MIB, false);
	says(a, 900, 200);
	says(b, 100, 800);
	tick(SECOND);
	/* "Returned", it says. */
	says(a, 200, 200);
	assert_int_equal(lease_charge(&a->lease), 900 * MIB);
	tick(SECOND);
	assert_int_equal(b->lease.granted, 100 * MIB);
	assert_true(lease_ceiling(&a->lease) >= a->lease.min);
	/* It has its min, whatever it did. */
	assert_true(a->lease.granted >= a->lease.min);
}

static void test_a_liar_takes_nothing_that_others_have(void **state)
{
	struct accounts_vm *a = joined("a", 100, 2000), *b = joined("b", 100, 2000);

	says(a, 100, 500);
	says(b, 100, 500);
	tick(SECOND);
	assert_int_equal(b->lease.granted, 500 * MIB);
	/* It takes twice its lease, wants all, and ignores everything. */
	accounts_used(a, 900 * MIB, false);
	says(a, 500, 2000);
	says(b, 500, 500);
	for (unsigned i = 0; i < 30; i++) {
		tick(SECOND);
		assert_int_equal(b->lease.granted, 500 * MIB);
		assert_int_equal(b->lease.state, LEASE_HELD);
	}
	assert_int_equal(lease_ceiling(&a->lease), 100 * MIB + LEASE_SLACK);
}

static void test_a_wait_in_vain_ends(void **state)
{
	struct accounts_vm *a = rich("a"), *b;
	struct error err;

	accounts_used(a, 900 * MIB, false);
	assert_int_equal(join("b", 300, 300, &b, &err), -EAGAIN);
	tick(SECOND);
	assert_int_equal(accounts_refusal(accounts, b, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "200 MiB in time"));
	tick(RECALL);
	assert_int_equal(refusals, 1);
	assert_int_equal(accounts->count, 1);
	assert_int_equal(a->lease.granted >= 100 * MIB, 1);
}

static void test_a_void_recall(void **state)
{
	struct accounts_vm *a = rich("a");

	says(a, 900, 200);
	tick(SECOND);
	assert_int_equal(a->lease.state, LEASE_RECALLED);
	says(a, 900, 900);
	tick(SECOND);
	assert_int_equal(a->lease.state, LEASE_HELD);
	assert_int_equal(a->told, 900 * MIB);
}

static void test_a_lost_vm_keeps_its_lease_for_a_while(void **state)
{
	struct accounts_vm *a = rich("a"), *again;
	struct accounts_join join_again = {
		.name = "a", .min = 100 * MIB, .max = 2000 * MIB, .weight = 100, .held = 900 * MIB};
	struct error err;

	accounts_used(a, 500 * MIB, false);
	accounts_lose(accounts, a, now);
	tick(SECOND);
	assert_int_equal(charges(), 900 * MIB);
	assert_int_equal(accounts_join(accounts, &join_again, now, &again, &err), 0);
	assert_ptr_equal(again, a);
	assert_int_equal(a->told, 900 * MIB);
	assert_true(a->tell);
	/* Not more than it had, whatever it says. */
	accounts_lose(accounts, a, now);
	tick(ACCOUNTS_ABSENT_NS);
	assert_int_equal(charges(), 500 * MIB);
	join_again.held = 2000 * MIB;
	assert_int_equal(accounts_join(accounts, &join_again, now, &again, &err), 0);
	assert_int_equal(a->told, 500 * MIB);
	/* A second one of that name is not the first. */
	assert_int_equal(accounts_join(accounts, &join_again, now, &again, &err), -EEXIST);
}

static void test_a_vm_cannot_raise_its_min_by_joining_again(void **state)
{
	struct accounts_vm *a = rich("a"), *again;
	const struct accounts_join join_again = {
		.name = "a", .min = 1900 * MIB, .max = 2000 * MIB, .weight = 100};
	struct error err;

	accounts_lose(accounts, a, now);
	assert_int_equal(accounts_join(accounts, &join_again, now, &again, &err), -EINVAL);
	assert_int_equal(a->lease.state, LEASE_ABSENT);
	assert_int_equal(a->lease.min, 100 * MIB);
}

static void test_a_restored_lease(void **state)
{
	const struct accounts_join join_a = {
		.name = "a", .min = 100 * MIB, .max = 2000 * MIB, .weight = 100, .held = 600 * MIB};
	struct accounts_vm *a = accounts_restore(accounts, 3, &join_a, 600 * MIB, now), *again;
	struct error err;

	assert_int_equal(charges(), 600 * MIB);
	tick(SECOND);
	assert_int_equal(accounts_join(accounts, &join_a, now, &again, &err), 0);
	assert_int_equal(a->lease.granted, 600 * MIB);
	accounts_leave(accounts, a);
	assert_int_equal(accounts_free(accounts), 1000 * MIB);
}

static void test_a_mad_policy_breaks_no_rule(void **state)
{
	struct accounts_vm *vms[8];
	char name[8];

	accounts->config.policy = &mad;
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		vms[i] = joined(name, 50 + i, 900);
	}
	for (unsigned round = 0; round < 20; round++) {
		tick(SECOND);
		assert_true(charges() <= 1000 * MIB);
		for (unsigned i = 0; i < 8; i++) {
			assert_true(vms[i]->lease.granted >= vms[i]->lease.min);
			assert_true(vms[i]->lease.granted <= vms[i]->lease.max);
			says(vms[i], vms[i]->told / MIB, 0);
		}
	}
}

static void test_all_states_are_explained(void **state)
{
	struct accounts_vm *a = rich("a"), *b;
	struct error err;
	char text[512];

	says(a, 900, 100);
	tick(SECOND);
	accounts_explain(accounts, a, now, text, sizeof(text));
	assert_string_equal(text, "it has 900 MiB and has 10 s to return 800 MiB (policy wants)");
	join("b", 300, 300, &b, &err);
	accounts_explain(accounts, b, now, text, sizeof(text));
	assert_non_null(strstr(text, "waits for its min of 300 MiB, of which 100 MiB are free"));
	tick(RECALL);
	accounts_explain(accounts, a, now, text, sizeof(text));
	assert_non_null(strstr(text, "did not return 800 MiB in time"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_grows_into_what_is_free),
		TEST(test_a_full_host_names_what_is_missing),
		TEST(test_min_is_recalled_from_others),
		TEST(test_a_wish_takes_from_the_idle_one),
		TEST(test_old_words_return_nothing),
		TEST(test_who_ignores_a_recall_costs_nobody_else),
		TEST(test_a_liar_is_charged_by_its_account),
		TEST(test_a_liar_takes_nothing_that_others_have),
		TEST(test_a_wait_in_vain_ends),
		TEST(test_a_void_recall),
		TEST(test_a_lost_vm_keeps_its_lease_for_a_while),
		TEST(test_a_vm_cannot_raise_its_min_by_joining_again),
		TEST(test_a_restored_lease),
		TEST(test_a_mad_policy_breaks_no_rule),
		TEST(test_all_states_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
