// SPDX-License-Identifier: BSD-2-Clause
/* Hosts that cannot give the memory, as files in a directory: the limit, and the words for it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "memory/memory_host.h"

#define MIB  (1ull << 20)
#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static char root[] = "/tmp/symvm-memory-host-XXXXXX";

/* Writes a file below the root, with its directories. */
static void put(const char *path, const char *text)
{
	char whole[512];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", root, path);
	for (char *slash = whole + sizeof(root); (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(whole, 0700);
		*slash = '/';
	}
	file = fopen(whole, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int setup(void **state)
{
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static int check(uint64_t mib, struct error *err)
{
	struct memory_config config = {.size = mib * MIB};
	struct memory_host host;

	memory_host_read(&host, root);
	return memory_host_check(&host, &config, err);
}

static void refuses(uint64_t mib, const char *words)
{
	struct error err = {0};

	assert_int_equal(check(mib, &err), -ENOMEM);
	assert_non_null(strstr(err.text, words));
	assert_null(strchr(err.text, '\n'));
}

static void nothing_readable_limits_nothing(void **state)
{
	struct error err;

	assert_int_equal(check(1 << 20, &err), 0);
}

static void the_host_limits(void **state)
{
	struct error err;

	put("/proc/meminfo", "MemTotal:  1048576 kB\nSwapTotal: 0 kB\n");
	assert_int_equal(check(1024, &err), 0);
	refuses(1025, "more than the host's 1024 MiB");
}

static void strict_overcommit_limits(void **state)
{
	struct error err;

	put("/proc/meminfo", "MemTotal: 4194304 kB\nCommitLimit: 2097152 kB\n"
			     "Committed_AS: 1048576 kB\n");
	put("/proc/sys/vm/overcommit_memory", "1\n");
	assert_int_equal(check(2048, &err), 0);
	put("/proc/sys/vm/overcommit_memory", "2\n");
	assert_int_equal(check(1024, &err), 0);
	refuses(1025, "the 1024 MiB that the host may still promise (vm.overcommit_memory=2)");
	put("/proc/meminfo", "MemTotal: 4194304 kB\nCommitLimit: 1 kB\nCommitted_AS: 1048576 kB\n");
	refuses(16, "the 0 MiB");
}

static void a_memory_cgroup_limits(void **state)
{
	struct error err;

	put("/proc/meminfo", "MemTotal: 4194304 kB\nSwapTotal: 131072 kB\n");
	put("/proc/self/cgroup", "0::/machine/vm\n");
	put("/sys/fs/cgroup/machine/vm/memory.max", "max\n");
	put("/sys/fs/cgroup/machine/memory.max", "268435456\n"); /* of the parent */
	put("/sys/fs/cgroup/machine/memory.swap.max", "0\n");
	assert_int_equal(check(256, &err), 0);
	refuses(257, "the 256 MiB that the memory cgroup");
	put("/sys/fs/cgroup/machine/memory.swap.max", "max\n");
	assert_int_equal(check(384, &err), 0); /* with all of the host's swap */
	refuses(385, "384 MiB");
	put("/sys/fs/cgroup/machine/vm/memory.max", "67108864\n");
	refuses(385, "192 MiB");
}

static void a_memory_cgroup_of_version_1_limits(void **state)
{
	struct error err;

	put("/proc/meminfo", "MemTotal: 4194304 kB\nSwapTotal: 131072 kB\n");
	put("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/vm\n0::/\n");
	put("/sys/fs/cgroup/memory/vm/memory.limit_in_bytes", "268435456\n");
	put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(check(384, &err), 0);
	refuses(385, "384 MiB");
	put("/sys/fs/cgroup/memory/vm/memory.memsw.limit_in_bytes", "268435456\n");
	refuses(257, "256 MiB");
}

static void explain(const char *words)
{
	struct memory_host host;
	struct error err = {0};

	memory_host_read_huge(&host, root);
	assert_int_equal(memory_host_explain_huge(&host, 256 * MIB, -ENOMEM, &err), -ENOMEM);
	assert_non_null(strstr(err.text, words));
	assert_null(strchr(err.text, '\n'));
}

static void missing_huge_pages_are_counted(void **state)
{
	explain("128 of 2 MiB needed, 0 free in the host's pool (vm.nr_hugepages), 128 missing");
	put(POOL "free_hugepages", "64\n");
	explain("128 of 2 MiB needed, 64 free in the host's pool (vm.nr_hugepages), 64 missing");
	put(POOL "resv_hugepages", "60\n"); /* promised to others */
	explain("128 of 2 MiB needed, 4 free in the host's pool (vm.nr_hugepages), 124 missing");
	put(POOL "free_hugepages", "1000\n");
	explain("not all for this process");
}

static void a_hugetlb_cgroup_is_named(void **state)
{
	put(POOL "free_hugepages", "1000\n");
	put("/proc/self/cgroup", "0::/vm\n");
	put("/sys/fs/cgroup/vm/hugetlb.2MB.max", "134217728\n");
	put("/sys/fs/cgroup/vm/hugetlb.2MB.current", "8388608\n");
	explain("60 allowed by the hugetlb cgroup of this process (1000 free in the host's pool), "
		"68 missing");
	put("/sys/fs/cgroup/vm/hugetlb.2MB.rsvd.max", "16777216\n");
	explain("8 allowed by the hugetlb cgroup");
	put("/proc/self/cgroup", "3:hugetlb:/vm\n");
	put("/sys/fs/cgroup/hugetlb/vm/hugetlb.2MB.limit_in_bytes", "2097152\n");
	explain("1 allowed by the hugetlb cgroup");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_readable_limits_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_host_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(strict_overcommit_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_memory_cgroup_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_memory_cgroup_of_version_1_limits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(missing_huge_pages_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hugetlb_cgroup_is_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
