// SPDX-License-Identifier: BSD-2-Clause
/*
 * The part of a large store that one doorbell looks at, in a store without threads. A guest that
 * keeps one slot of each group mapped makes each look expensive and useless. The test counts slots,
 * not time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "swap/store/store_internal.h"

#define LARGE (48ull << 30)
/* The limit of each kind of look: freed pages, contents to move. One more group may be finished. */
#define LOOKED_MOST (RESERVE_LOOKS * 2 * (LOOK_SLOTS + GROUP_SLOTS))

static struct swap_store *make(uint64_t size, uint64_t budget, struct log *log)
{
	const struct swap_config config = {
		.size = size, .budget = budget, .codec = SWAP_CODEC_NONE};
	struct swap_store *store;
	struct error err = {0};

	log_init(log, STDERR_FILENO, LOG_LEVEL_ERROR);
	if (swap_store_create(&config, log, &store, &err) < 0)
		fail_msg("%s", err.text);
	return store;
}

/* Takes the whole budget; no slot can go. */
static void hold_all(struct swap_store *store)
{
	for (uint32_t group = 0; group < store->group_count && swap_room_locked(store); group++) {
		assert_int_equal(swap_store_reserve(store, group * GROUP_SLOTS), 0);
		store->words[group * GROUP_SLOTS] = SYM_SLOT_MAPPED;
	}
	for (uint32_t slot = 1; swap_room_locked(store); slot++) {
		assert_int_equal(swap_store_reserve(store, slot), 0);
		store->words[slot] = SYM_SLOT_MAPPED;
	}
}

static void a_vain_reserve_is_bounded(void **state)
{
	struct log log;
	struct swap_store *store = make(LARGE, 64 << 20, &log);

	hold_all(store);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t before = store->counters.looked;

		assert_int_equal(swap_store_reserve(store, store->slot_count - 2 - i), -ENOSPC);
		assert_in_range(store->counters.looked - before, 1, LOOKED_MOST);
	}
	swap_store_destroy(store);
}

static void a_vain_fetch_is_bounded(void **state)
{
	struct log log;
	struct swap_store *store = make(LARGE, 64 << 20, &log);
	uint64_t before;

	hold_all(store);
	before = store->counters.looked;
	swap_store_fetch(store, store->slot_count - 2);
	assert_in_range(store->counters.looked - before, 0, LOOKED_MOST);
	swap_store_destroy(store);
}

/* Each look continues from the end of the last one, so in the end one finds a freed page. */
static void looks_resume(void **state)
{
	struct log log;
	struct swap_store *store = make(LARGE, 64 << 20, &log);
	unsigned tries = 0;

	hold_all(store);
	store->words[store->group_count / 2 * GROUP_SLOTS] = SYM_SLOT_FREE;
	while (swap_store_reserve(store, store->slot_count - 2) < 0)
		assert_in_range(++tries, 0, swap_looks(store));
	assert_true(tries > 0);
	swap_store_destroy(store);
}

static void reports_take_no_lock(void **state)
{
	struct log log;
	struct swap_store *store = make((1u << 20), (1u << 20), &log);
	struct swap_usage usage;

	assert_int_equal(swap_store_reserve(store, 3), 0);
	/* This thread itself holds the lock: a report that took it would never return. */
	pthread_mutex_lock(&store->lock);
	swap_store_usage(store, &usage);
	assert_int_equal(usage.resident, SLOT_SIZE);
	assert_int_equal(usage.states[SYM_SLOT_FREE], store->slot_count);
	assert_int_equal(swap_store_used(store), SLOT_SIZE);
	assert_int_equal(swap_store_budget(store), (1u << 20));
	assert_int_equal(swap_store_verdicts(store), 0);
	pthread_mutex_unlock(&store->lock);
	swap_store_destroy(store);
}

static void budgets_are_bounded(void **state)
{
	static const uint64_t bad[] = {
		0, 1, SWAP_BUDGET_MINIMUM - 1, SWAP_SIZE_MAXIMUM + 1, INT64_MAX, UINT64_MAX};
	struct log log;
	struct swap_store *store = make((1u << 20), (1u << 20), &log);
	struct error err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct swap_config config = {.size = (1u << 20), .budget = bad[i]};
		struct swap_store *other;

		assert_int_equal(swap_store_set_budget(store, bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "1 MiB to 256 GiB"));
		if (bad[i])
			assert_int_equal(swap_store_create(&config, &log, &other, &err), -EINVAL);
	}
	assert_int_equal(swap_store_budget(store), (1u << 20));
	assert_int_equal(swap_store_set_budget(store, SWAP_SIZE_MAXIMUM, &err), 0);
	swap_store_destroy(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vain_reserve_is_bounded),
		cmocka_unit_test(a_vain_fetch_is_bounded),
		cmocka_unit_test(looks_resume),
		cmocka_unit_test(reports_take_no_lock),
		cmocka_unit_test(budgets_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
