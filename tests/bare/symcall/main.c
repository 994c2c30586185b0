/* SPDX-License-Identifier: BSD-2-Clause */
/* Bare-guest tests of libsymcall, on a host with KVM. An argument selects tests by wildcard. */
#include "cases.h"

#define TESTS_MAX 128

static int set_up(void **state)
{
	*state = machine_create(SYM_FEATURES_ALL);
	return 0;
}

static int tear_down(void **state)
{
	machine_destroy(*state);
	return 0;
}

static size_t add(struct CMUnitTest *all, size_t count, const struct CMUnitTest *tests, size_t more)
{
	for (size_t i = 0; i < more && count < TESTS_MAX; i++) {
		all[count] = tests[i];
		all[count].setup_func = set_up;
		all[count].teardown_func = tear_down;
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	static struct CMUnitTest all[TESTS_MAX];
	size_t count = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	count = add(all, count, page_tests, page_test_count);
	count = add(all, count, exit_tests, exit_test_count);
	count = add(all, count, kick_tests, kick_test_count);
	count = add(all, count, failure_tests, failure_test_count);
	return _cmocka_run_group_tests("symcall", all, count, NULL, NULL);
}
