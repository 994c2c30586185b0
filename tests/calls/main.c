/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bare-guest tests of libsymcall, on a host with KVM: symcall-bare [GROUP [WILDCARD]].
 * `symcall-bare
 * --list` prints a line GROUP NAME for each case, and needs no KVM.
 */
#include <stdlib.h>

#include "cases.h"

static int set_up(void **state)
{
	*state = machine_create(SYM_FEATURES_ALL, false);
	return 0;
}

static int tear_down(void **state)
{
	machine_destroy(*state);
	return 0;
}

static int run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
	struct CMUnitTest *copy = calloc(count, sizeof(*copy));
	int failed;

	if (!copy)
		return 1;
	for (size_t i = 0; i < count; i++) {
		copy[i] = tests[i];
		copy[i].setup_func = set_up;
		copy[i].teardown_func = tear_down;
	}
	failed = _cmocka_run_group_tests(name, copy, count, NULL, NULL);
	free(copy);
	return failed;
}

struct group {
	const char *name;
	const struct CMUnitTest *tests;
	size_t count;
};

static void list_group(const struct group *group)
{
	for (size_t i = 0; i < group->count; i++)
		printf("%s %s\n", group->name, group->tests[i].name);
}

int main(int argc, char **argv)
{
	const struct group groups[] = {
		{"pages", page_tests, page_test_count},
		{"exits", exit_tests, exit_test_count},
		{"kicks", kick_tests, kick_test_count},
		{"failures", failure_tests, failure_test_count},
	};
	int failed = 0, run = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
			list_group(&groups[i]);
		return 0;
	}
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (argc < 2 || !strcmp(argv[1], groups[i].name)) {
			failed += run_group(groups[i].name, groups[i].tests, groups[i].count);
			run++;
		}
	if (!run)
		fprintf(stderr, "no group '%s': pages, exits, kicks, failures\n", argv[1]);
	return failed || !run;
}
