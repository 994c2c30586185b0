// SPDX-License-Identifier: BSD-2-Clause
/* Copies of an address space while it is swapped out. */
#include "torture.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS	3
#define SPAWNED 40

/* Rewrite every page whose number is `odd`, in an order that meets the other side's. */
static void write_alternate(struct region *region, size_t odd)
{
	for (size_t page = odd; page < region->pages; page += 2)
		region_write_page(region, page);
}

static int child_side(void *argument)
{
	struct region *region = argument;

	write_alternate(region, 1);
	CHECK_REGION(region, "in the child, which wrote while its parent did");
	torture_disturb(region);
	CHECK_REGION(region, "in the child, swapped out again");
	return 0;
}

TORTURE_TEST(fork_writes, "fork", "both sides of a fork write, and see their own pages only")
{
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	for (int round = 0; round < ROUNDS; round++) {
		pid_t child = torture_spawn(child_side, &region);

		CHECK(child > 0, "fork: %s", strerror(errno));
		write_alternate(&region, 0);
		CHECK_REGION(&region, "in the parent, which wrote while its child did");
		CHECK(torture_wait(child) == 0, "the child failed");
		CHECK_REGION(&region, "in the parent, after its child ended");
		torture_disturb(&region);
	}
	return 0;
}

static int generations(void *argument)
{
	struct region *region = argument;
	static int depth;
	pid_t child = 0;

	if (++depth < 4)
		child = torture_spawn(generations, region);
	write_alternate(region, (size_t)depth & 1);
	CHECK_REGION(region, "in a line of forks");
	torture_disturb(region);
	CHECK_REGION(region, "in a line of forks, swapped out again");
	return child ? torture_wait(child) : 0;
}

TORTURE_TEST(fork_line, "fork-line", "a child's child's child, all writing at once")
{
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	return generations(&region);
}

TORTURE_TEST(exec_storm, "exec-storm", "fork, vfork and exec again and again beside swapped pages")
{
	char *arguments[] = {"swap-torture", "nothing", NULL};
	char *environment[] = {NULL};
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	for (size_t i = 0; i < SPAWNED; i++) {
		pid_t child;
		int error;

		/* glibc's posix_spawn is a vfork. */
		if (i & 1) {
			error = posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments,
					    environment);
			CHECK(error == 0, "spawn: %s", strerror(error));
		} else {
			child = fork();
			CHECK(child >= 0, "fork: %s", strerror(errno));
			if (child == 0) {
				execve("/proc/self/exe", arguments, environment);
				_exit(127);
			}
		}
		region_write_page(&region, i * 97 % region.pages);
		if (i % 8 == 0)
			torture_disturb(&region);
		CHECK(torture_wait(child) == 0, "child %zu failed", i);
	}
	CHECK_REGION(&region, "after the storm");
	return 0;
}

static int exit_at_once(void *argument)
{
	struct region *region = argument;

	torture_disturb(region);
	return 0;
}

TORTURE_TEST(exits, "exit", "processes that end with pages swapped out and mapped")
{
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	for (int i = 0; i < 6; i++) {
		pid_t child = torture_spawn(exit_at_once, &region);

		CHECK(child > 0, "fork: %s", strerror(errno));
		if (i & 1)
			kill(child, SIGKILL);
		torture_wait(child);
	}
	CHECK_REGION(&region, "after its copies ended");
	return 0;
}
