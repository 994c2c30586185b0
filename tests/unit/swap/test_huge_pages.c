// SPDX-License-Identifier: BSD-2-Clause
/* Settings of the host that give huge pages to memfds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "swap/store/huge_pages.h"

static char directory[64];

static void put(const char *name, const char *text)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make(void **state)
{
	char path[160];

	strcpy(directory, "/tmp/symvm-huge-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/hugepages-64kB", directory);
	return mkdir(path, 0700);
}

static int unmake(void **state)
{
	static const char *const names[] = {"/hugepages-64kB/shmem_enabled", "/hugepages-64kB",
					    "/shmem_enabled", ""};
	char path[160];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", directory, names[i]);
		remove(path);
	}
	return 0;
}

static void each_setting_is_looked_at(void **state)
{
	static const struct {
		const char *whole, *size, *found;
	} cases[] = {
		{"always within_size advise [never] deny force", "always inherit [never]", NULL},
		{"always within_size [advise] never deny force", "[inherit] advise never", NULL},
		{"[always] within_size advise never deny force", "inherit [never]",
		 "shmem_enabled"},
		{"always within_size advise never deny [force]", "inherit [never]",
		 "shmem_enabled"},
		{"always within_size advise [never] deny force", "[always] inherit never",
		 "hugepages-64kB/shmem_enabled"},
		{"always within_size advise [never] deny force", "always [within_size] never",
		 "hugepages-64kB/shmem_enabled"},
		{"always [within_size] advise never deny force", "[inherit] never",
		 "hugepages-64kB/shmem_enabled"},
		{"nonsense", "[", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[64];
		bool found;

		put("shmem_enabled", cases[i].whole);
		put("hugepages-64kB/shmem_enabled", cases[i].size);
		found = swap_huge_pages_find(directory, name, sizeof(name));
		if (found != (cases[i].found != NULL) || (found && strcmp(name, cases[i].found)))
			fail_msg("case %zu: %s", i, found ? name : "not found");
	}
	assert_false(swap_huge_pages_find("/nonexistent", directory, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_setting_is_looked_at, make, unmake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
