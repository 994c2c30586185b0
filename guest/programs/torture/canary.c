// SPDX-License-Identifier: BSD-2-Clause
/* Whether a page ever comes to a process that did not write it; and load for tests from outside. */
#include "torture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CROWD 6

/* Owners never repeat: each process of the test has a number of its own. */
struct canary {
	const struct torture_context *context;
	uint32_t owner;
};

/* New memory must be zeros; what was written must come back. Some die with all swapped out. */
static int canary_live(void *argument)
{
	const struct canary *canary = argument;
	uint64_t dice = canary->owner;
	struct region region;
	size_t bad;

	if (region_create(&region, canary->context->pages / 4, canary->owner))
		return 1;
	bad = region_check(&region);
	CHECK(bad == 0, "%zu pages of new memory are not zeros", bad);
	for (int round = 0; round < 2; round++) {
		for (size_t page = 0; page < region.pages; page++)
			if (random_next(&dice) % 4 || round)
				region_write_page(&region, page);
		region_pageout(&region, 0, region.pages);
		if (random_next(&dice) % 3 == 0)
			return 0;
		CHECK_REGION(&region, "where only its own canaries may be");
		madvise(region_page(&region, region.pages / 2), PAGE_BYTES * (region.pages / 8),
			MADV_DONTNEED);
		for (size_t i = 0; i < region.pages / 8; i++)
			region.generation[region.pages / 2 + i] = 0;
		torture_disturb(&region);
		CHECK_REGION(&region, "where only its own canaries may be, and zeros");
	}
	return 0;
}

TORTURE_TEST_BY_NAME(canary, "canary", "slots are used again and again: nobody sees another's page")
{
	uint64_t end = clock_ns() + context->seconds * 1000000000ull;
	struct canary next = {.context = context, .owner = 1000};
	unsigned int lives = 0, failed = 0;

	while (clock_ns() < end && failed == 0) {
		pid_t pids[CROWD];

		for (int i = 0; i < CROWD; i++, next.owner++) {
			pids[i] = torture_spawn(canary_live, &next);
			CHECK(pids[i] > 0, "fork: %s", strerror(errno));
		}
		for (int i = 0; i < CROWD; i++, lives++)
			failed += torture_wait(pids[i]) != 0;
	}
	printf("# canary: %u lives\n", lives);
	CHECK(failed == 0, "%u processes saw what was not theirs", failed);
	return 0;
}

struct load {
	const struct torture_context *context;
	uint64_t end;
	size_t pages;
};

/* Drop a page that was lost, as a program that handles SIGBUS would, and begin it again. */
static void page_lost(struct region *region, size_t page)
{
	madvise(region_page(region, page), PAGE_BYTES, MADV_DONTNEED);
	region->generation[page] = 0;
}

/* Returns how many pages were lost, or -1 when one was wrong. */
static long load_pass(const struct load *load, struct region *region, uint64_t *dice)
{
	long lost = 0;

	for (size_t i = 0; i < region->pages; i++) {
		size_t page = random_next(dice) % region->pages;

		if (load->context->sigbus_allowed && torture_read(region_page(region, page))) {
			page_lost(region, page);
			lost++;
		}
		if (!region_matches(region, page, region_page(region, page))) {
			region_describe(region, page);
			return -1;
		}
		if (random_next(dice) % 4 == 0)
			region_write_page(region, page);
	}
	return lost;
}

static int load_run(void *argument)
{
	const struct load *load = argument;
	uint64_t dice = (uint64_t)getpid();
	struct region region;
	long lost = 0, passes = 0;

	/* What may be lost are pages of the region, none of this program's own. */
	if (load->context->sigbus_allowed)
		CHECK(mlockall(MCL_CURRENT) == 0, "mlockall: %s", strerror(errno));
	if (region_create(&region, load->pages, (uint32_t)getpid()))
		return 1;
	region_write(&region);
	while (clock_ns() < load->end) {
		long more = load_pass(load, &region, &dice);

		CHECK(more >= 0, "a page is wrong after %ld passes", passes);
		lost += more;
		passes++;
		if (passes % 3 == 0)
			region_pageout(&region, 0, region.pages / 2);
	}
	printf("# load: process %d: %ld passes, %ld pages lost\n", getpid(), passes, lost);
	return 0;
}

/* Two processes that together need more RAM than there is, and are verified all the time. */
TORTURE_TEST_BY_NAME(over_commit, "load", "more than RAM in use for --seconds, --size in all")
{
	struct load load = {
		.context = context,
		.end = clock_ns() + context->seconds * 1000000000ull,
		.pages = context->pages / 2,
	};
	pid_t first, second;
	int failed;

	if (context->sigbus_allowed)
		CHECK(mlockall(MCL_CURRENT) == 0, "mlockall: %s", strerror(errno));
	first = torture_spawn(load_run, &load);
	second = torture_spawn(load_run, &load);
	CHECK(first > 0 && second > 0, "fork: %s", strerror(errno));
	failed = torture_wait(first) != 0;
	failed += torture_wait(second) != 0;
	CHECK(failed == 0, "%d of 2 processes failed", failed);
	return 0;
}
