// SPDX-License-Identifier: BSD-2-Clause
/* A directory plays the group, and another one /proc. One case asks the real /proc. */
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/cgroup.h"

#define VM	    4000
#define USER_FLAGS  0x00400040u
#define KTHREADD    2
#define KTHREAD	    0x00200000u
#define STRANGER    4100
#define START_TICKS 123456789012ull

static char dir[] = "/tmp/test_cgroup.XXXXXX";

static int entry_remove(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/test_cgroup.XXXXXX");
	assert_non_null(mkdtemp(dir));
	return 0;
}

static int teardown(void **state)
{
	return nftw(dir, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void members_set(const char *lines)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(lines, file);
	fclose(file);
}

static void process_add(pid_t pid, const char *name, pid_t parent, unsigned flags)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%d", dir, (int)pid);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%d/stat", dir, (int)pid);
	file = fopen(path, "we");
	assert_non_null(file);
	fprintf(file, "%d (%s) S %d 1 1 0 -1 %u 10 0 0 0 1 2 0 0 20 0 1 0 %llu 4096 1\n", (int)pid,
		name, (int)parent, flags, START_TICKS);
	fclose(file);
}

static bool is_own(void)
{
	return cgroup_is_own(dir, dir, VM);
}

static void test_alone(void **state)
{
	members_set("4000\n");
	assert_true(is_own());
}

static void test_own_children(void **state)
{
	process_add(VM, "symvm", 1, USER_FLAGS);
	process_add(4001, "symvm-guard", VM, USER_FLAGS);
	process_add(4002, "a) S 1 (", VM, USER_FLAGS);
	members_set("4000\n4001\n4002\n");
	assert_true(is_own());
}

static void test_kernel_threads(void **state)
{
	process_add(4003, "kvm-nx-lpage-recovery-4000", KTHREADD, KTHREAD | USER_FLAGS);
	process_add(4004, "vhost-4000", KTHREADD, KTHREAD | USER_FLAGS);
	members_set("4000\n4003\n4004\n");
	assert_true(is_own());
}

static void test_one_that_has_just_ended(void **state)
{
	members_set("4000\n4005\n");
	assert_true(is_own());
}

static void test_foreign_process(void **state)
{
	process_add(STRANGER, "sh", 1, USER_FLAGS);
	members_set("4000\n4100\n");
	assert_false(is_own());
}

/* Its name looks like the rest of a line that names the VM as its parent, and a kernel thread. */
static void test_foreign_process_that_forges_its_name(void **state)
{
	process_add(STRANGER, "x) S 4000 1 1", 1, USER_FLAGS);
	members_set("4000\n4100\n");
	assert_false(is_own());
}

static void test_parent_of_the_vm(void **state)
{
	process_add(3999, "bash", 1, USER_FLAGS);
	process_add(VM, "symvm", 3999, USER_FLAGS);
	members_set("3999\n4000\n");
	assert_false(is_own());
}

static void test_process_of_another_namespace(void **state)
{
	members_set("0\n4000\n");
	assert_false(is_own());
}

static void test_too_many(void **state)
{
	char lines[64 * (CGROUP_FAMILY_MAX + 1)] = "";
	size_t length = 0;

	for (unsigned i = 0; i < CGROUP_FAMILY_MAX; i++) {
		length += (size_t)snprintf(lines + length, sizeof(lines) - length, "%u\n", VM + i);
		if (i)
			process_add((pid_t)(VM + i), "symvm", VM, USER_FLAGS);
	}
	members_set(lines);
	assert_true(is_own());
	process_add(VM + CGROUP_FAMILY_MAX, "symvm", VM, USER_FLAGS);
	snprintf(lines + length, sizeof(lines) - length, "%u\n", VM + CGROUP_FAMILY_MAX);
	members_set(lines);
	assert_false(is_own());
}

static void test_no_group(void **state)
{
	assert_false(is_own());
	members_set("");
	assert_false(is_own());
}

static void test_start_is_read(void **state)
{
	struct cgroup_process process;

	process_add(VM, "symvm", 17, USER_FLAGS);
	assert_true(cgroup_process_read(dir, VM, &process));
	assert_int_equal(process.parent, 17);
	assert_int_equal(process.start, START_TICKS);
	assert_false(process.is_kernel_thread);
	assert_false(cgroup_process_read(dir, STRANGER, &process));
}

static void test_real_processes(void **state)
{
	pid_t child;
	char lines[64];

	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(lines, sizeof(lines), "%d\n%d\n", (int)getpid(), (int)child);
	members_set(lines);
	assert_true(cgroup_is_own(dir, CGROUP_PROC, getpid()));
	/* For the child, its parent is a foreign process. */
	assert_false(cgroup_is_own(dir, CGROUP_PROC, child));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_alone),
		TEST(test_own_children),
		TEST(test_kernel_threads),
		TEST(test_one_that_has_just_ended),
		TEST(test_foreign_process),
		TEST(test_foreign_process_that_forges_its_name),
		TEST(test_parent_of_the_vm),
		TEST(test_process_of_another_namespace),
		TEST(test_too_many),
		TEST(test_no_group),
		TEST(test_start_is_read),
		TEST(test_real_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
