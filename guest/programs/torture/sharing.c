// SPDX-License-Identifier: BSD-2-Clause
/* Pages that several mappings share, that are merged, huge, or zero. */
#include "torture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define KSM  "/sys/kernel/mm/ksm/"
#define THP  "/sys/kernel/mm/transparent_hugepage/"
#define HUGE (2ul << 20)

static int shared_child(void *argument)
{
	struct region *region = argument;

	CHECK_REGION(region, "as the child sees shared memory");
	region_write(region);
	torture_disturb(region);
	CHECK_REGION(region, "after the child wrote shared memory");
	/* Back to what the parent expects: each page one generation on, twice for some. */
	return 0;
}

TORTURE_TEST(shared, "shmem", "shared memory that is swapped out, written by two processes")
{
	struct vm_counters before = vm_counters_read();
	struct region region;
	size_t bytes = context->pages * PAGE_BYTES;
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *kept;
	pid_t child;

	CHECK(base != MAP_FAILED, "mmap: %s", strerror(errno));
	CHECK(region_adopt(&region, base, context->pages, (uint32_t)getpid()) == 0, "no memory");
	/* Both sides have to agree on the generations. */
	kept = mmap(region.generation, region.pages * sizeof(*region.generation),
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(kept == region.generation, "mmap: %s", strerror(errno));
	region_write(&region);
	madvise(base, bytes, MADV_PAGEOUT);
	torture_reclaim(bytes);
	CHECK(context->swapless ||
		      vm_counters_read().swap_out - before.swap_out > context->pages / 2,
	      "shared memory was not swapped out");
	child = torture_spawn(shared_child, &region);
	CHECK(child > 0 && torture_wait(child) == 0, "the child failed");
	CHECK_REGION(&region, "after the child wrote");
	madvise(base, bytes, MADV_PAGEOUT);
	torture_reclaim(bytes);
	CHECK_REGION(&region, "swapped out once more");
	return 0;
}

static int merged(void)
{
	for (int i = 0; i < 100; i++) {
		if (torture_get(KSM "pages_sharing", NULL) > 0)
			return 1;
		usleep(100000);
	}
	return 0;
}

static int merge_and_check(const struct torture_context *context, struct region *a,
			   struct region *b)
{
	size_t bytes = a->pages * PAGE_BYTES;

	madvise(a->base, bytes, MADV_MERGEABLE);
	madvise(b->base, bytes, MADV_MERGEABLE);
	CHECK(merged(), "KSM merged nothing in 10 s");
	torture_reclaim(2 * bytes);
	region_write_page(a, 1);
	CHECK_REGION(a, "merged, then swapped out");
	CHECK_REGION(b, "merged, then swapped out");
	torture_disturb(a);
	region_pageout(b, 0, b->pages / 2);
	region_write(b);
	CHECK_REGION(a, "after its twin was written");
	CHECK_REGION(b, "after all of it was written");
	madvise(a->base, bytes, MADV_UNMERGEABLE);
	CHECK_REGION(a, "after it was unmerged");
	return 0;
}

TORTURE_TEST(same_pages, "ksm", "pages that KSM merges while they are swapped out")
{
	struct region a, b;
	int result;

	if (torture_put(KSM "run", "1"))
		return torture_skip("the kernel has no KSM");
	torture_put(KSM "sleep_millisecs", "10");
	torture_put(KSM "pages_to_scan", "4000");
	/* The same contents: the same owner, the same generations. In RAM: KSM looks no further. */
	CHECK(region_create(&a, context->pages, (uint32_t)getpid()) == 0, "no memory");
	CHECK(region_create(&b, a.pages, a.owner) == 0, "no memory");
	region_write(&a);
	region_write(&b);
	result = merge_and_check(context, &a, &b);
	torture_put(KSM "run", "2"); /* unmerge all, reads what is swapped */
	torture_put(KSM "run", "0");
	if (result)
		return result;
	CHECK_REGION(&a, "after KSM went");
	CHECK_REGION(&b, "after KSM went");
	return 0;
}

static int huge_rounds(struct region *region)
{
	for (int round = 0; round < 3; round++) {
		region_write(region);
		torture_disturb(region);
		CHECK_REGION(region, "in huge pages that were swapped out");
		/* khugepaged meets swapped pages, too: it brings up to max_ptes_swap back. */
		region_pageout(region, 0, region->pages / 4);
		madvise(region->base, region->pages * PAGE_BYTES, MADV_COLLAPSE);
		CHECK_REGION(region, "after they were collapsed");
		usleep(300000);
	}
	return 0;
}

/* @enabled is how the whole system has it; what is @advised asks for huge pages itself. */
static int huge_region(const struct torture_context *context, const char *enabled, bool advised)
{
	struct region region;
	uint8_t *base, *aligned;
	size_t pages = context->pages / 512 * 512;
	int result;

	torture_put(THP "enabled", enabled);
	base = mmap(NULL, pages * PAGE_BYTES + HUGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(base != MAP_FAILED, "mmap: %s", strerror(errno));
	aligned = (uint8_t *)(((uintptr_t)base + HUGE - 1) & ~(HUGE - 1));
	CHECK(!advised || madvise(base, pages * PAGE_BYTES + HUGE, MADV_HUGEPAGE) == 0,
	      "madvise: %s", strerror(errno));
	CHECK(region_adopt(&region, aligned, pages, (uint32_t)getpid()) == 0, "no memory");
	result = huge_rounds(&region);
	munmap(base, pages * PAGE_BYTES + HUGE);
	return result;
}

TORTURE_TEST(huge, "thp", "huge pages, always or advised; khugepaged collapses swapped pages")
{
	int result;

	if (torture_put(THP "enabled", "always"))
		return torture_skip("the kernel has no huge pages");
	torture_put(THP "khugepaged/scan_sleep_millisecs", "20");
	torture_put(THP "khugepaged/alloc_sleep_millisecs", "20");
	torture_put(THP "khugepaged/pages_to_scan", "8192");
	torture_put(THP "khugepaged/max_ptes_swap", "511");
	result = huge_region(context, "always", false);
	if (!result)
		result = huge_region(context, "madvise", true);
	torture_put(THP "khugepaged/scan_sleep_millisecs", "10000");
	torture_put(THP "enabled", "never");
	return result;
}

static int zero_check(const struct region *region, const char *when)
{
	static const uint8_t zeros[PAGE_BYTES];
	size_t bad = 0;

	for (size_t page = 0; page < region->pages; page++)
		bad += memcmp(region_page(region, page), zeros, PAGE_BYTES) != 0;
	CHECK(bad == 0, "%zu pages of zeros are not %s", bad, when);
	return 0;
}

/* 6.12 swaps a page of zeros out without a write: what its slot held before must not come back. */
TORTURE_TEST(zeros, "zeros", "pages of zeros, in slots that held something else")
{
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	for (int round = 0; round < 4; round++) {
		memset(region.base, 0, region.pages * PAGE_BYTES);
		region_pageout(&region, 0, region.pages);
		if (zero_check(&region, "after swapping"))
			return 1;
		region_pageout(&region, 0, region.pages);
		if (zero_check(&region, "after swapping twice"))
			return 1;
		region_write(&region);
		torture_disturb(&region);
		CHECK_REGION(&region, "written over zeros");
	}
	return 0;
}
