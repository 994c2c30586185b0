// SPDX-License-Identifier: BSD-2-Clause
/* What a process does to its own mappings. */
#include "torture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t pages_not_zero(const uint8_t *base, size_t pages)
{
	static const uint8_t zeros[PAGE_BYTES];
	size_t bad = 0;

	for (size_t page = 0; page < pages; page++)
		bad += memcmp(base + page * PAGE_BYTES, zeros, PAGE_BYTES) != 0;
	return bad;
}

TORTURE_TEST(unmap, "munmap", "a hole in swapped memory; what is mapped there next is zeros")
{
	struct region region;
	size_t from, pages, bad;
	void *again;

	if (torture_prepare(context, &region))
		return 1;
	/* Out of all three thirds. */
	from = region.pages / 6;
	pages = region.pages * 2 / 3;
	CHECK(munmap(region_page(&region, from), pages * PAGE_BYTES) == 0, "munmap: %s",
	      strerror(errno));
	CHECK(torture_read(region_page(&region, from)) == SIGSEGV, "the hole can be read");
	bad = region_check_range(&region, 0, from) +
	      region_check_range(&region, from + pages, region.pages);
	CHECK(bad == 0, "%zu pages around the hole are wrong", bad);
	again = mmap(region_page(&region, from), pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(again != MAP_FAILED, "mmap: %s", strerror(errno));
	bad = pages_not_zero(again, pages);
	CHECK(bad == 0, "%zu new pages are not zeros", bad);
	region_write(&region);
	torture_disturb(&region);
	CHECK_REGION(&region, "after mapping the hole anew");
	return 0;
}

TORTURE_TEST(move, "mremap", "swapped memory moves, grows, and leaves its place empty")
{
	struct region region;
	uint8_t *target, *grown;
	size_t bytes, bad;

	if (torture_prepare(context, &region))
		return 1;
	bytes = region.pages * PAGE_BYTES;
	target = mmap(NULL, 3 * bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		      0);
	CHECK(target != MAP_FAILED, "mmap: %s", strerror(errno));
	grown = mremap(region.base, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	CHECK(grown == target, "mremap: %s", strerror(errno));
	region.base = target;
	CHECK_REGION(&region, "after the move");
	torture_disturb(&region);
	/* From an odd page on, so that page tables don't move whole. */
	grown = mremap(target + PAGE_BYTES, bytes - PAGE_BYTES, bytes - PAGE_BYTES,
		       MREMAP_MAYMOVE | MREMAP_FIXED, target + bytes + 3 * PAGE_BYTES);
	CHECK(grown != MAP_FAILED, "mremap of a part: %s", strerror(errno));
	grown = mremap(target, PAGE_BYTES, PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
		       target + bytes + 2 * PAGE_BYTES);
	CHECK(grown != MAP_FAILED, "mremap of the first page: %s", strerror(errno));
	region.base = grown;
	CHECK_REGION(&region, "after a move by odd pages");
	torture_disturb(&region);
	/* glibc passes no new address on here, and the kernel judges it. */
	grown = (uint8_t *)syscall(SYS_mremap, region.base + PAGE_BYTES, bytes - PAGE_BYTES,
				   bytes - PAGE_BYTES, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CHECK(grown != MAP_FAILED, "mremap, keeping the old place: %s", strerror(errno));
	bad = pages_not_zero(region.base + PAGE_BYTES, region.pages - 1);
	CHECK(bad == 0, "%zu pages stayed in the old place", bad);
	for (size_t page = 1; page < region.pages; page++)
		bad += !region_matches(&region, page, grown + (page - 1) * PAGE_BYTES);
	CHECK(bad == 0, "%zu pages are wrong in the new place", bad);
	return 0;
}

TORTURE_TEST(protect, "mprotect", "no reading and no writing where it is not allowed")
{
	struct region region;
	size_t bytes, wrong = 0;

	if (torture_prepare(context, &region))
		return 1;
	bytes = region.pages * PAGE_BYTES;
	CHECK(mprotect(region.base, bytes, PROT_READ) == 0, "mprotect: %s", strerror(errno));
	for (size_t page = 0; page < region.pages; page += 13)
		wrong += torture_write(region_page(&region, page)) != SIGSEGV;
	CHECK(wrong == 0, "%zu read-only pages could be written", wrong);
	CHECK_REGION(&region, "read-only");
	CHECK(mprotect(region.base, bytes, PROT_NONE) == 0, "mprotect: %s", strerror(errno));
	for (size_t page = 0; page < region.pages; page += 13)
		wrong += torture_read(region_page(&region, page)) != SIGSEGV;
	CHECK(wrong == 0, "%zu forbidden pages could be read", wrong);
	CHECK(mprotect(region.base, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect: %s",
	      strerror(errno));
	CHECK_REGION(&region, "after it is allowed again");
	torture_disturb(&region);
	CHECK(mprotect(region.base, bytes / 2, PROT_READ) == 0, "mprotect: %s", strerror(errno));
	CHECK(torture_write(region.base) == SIGSEGV, "a read-only page could be written");
	CHECK(mprotect(region.base, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect: %s",
	      strerror(errno));
	region_write(&region);
	CHECK_REGION(&region, "after writing all of it");
	return 0;
}

TORTURE_TEST(dont_need, "dontneed", "MADV_DONTNEED of swapped pages: zeros after it")
{
	struct region region;
	size_t bad;

	if (torture_prepare(context, &region))
		return 1;
	for (int round = 0; round < 3; round++) {
		CHECK(madvise(region.base, region.pages * PAGE_BYTES, MADV_DONTNEED) == 0,
		      "madvise: %s", strerror(errno));
		bad = pages_not_zero(region.base, region.pages);
		CHECK(bad == 0, "%zu dropped pages are not zeros", bad);
		region_write(&region);
		torture_disturb(&region);
		CHECK_REGION(&region, "written after they were dropped");
	}
	return 0;
}

/* The old contents or zeros: either is right until the next write. */
static size_t pages_neither(const struct region *region)
{
	size_t bad = 0;

	for (size_t page = 0; page < region->pages; page++) {
		const uint8_t *bytes = region_page(region, page);

		bad += !region_matches(region, page, bytes) && pages_not_zero(bytes, 1) != 0;
	}
	return bad;
}

TORTURE_TEST(lazy_free, "madv-free", "MADV_FREE: old contents or zeros, and what is written stays")
{
	struct region region;
	size_t bad;

	if (torture_prepare(context, &region))
		return 1;
	for (int round = 0; round < 3; round++) {
		CHECK(madvise(region.base, region.pages * PAGE_BYTES, MADV_FREE) == 0,
		      "madvise: %s", strerror(errno));
		if (round)
			torture_reclaim(region.pages * PAGE_BYTES);
		bad = pages_neither(&region);
		CHECK(bad == 0, "%zu freed pages hold neither zeros nor their old contents", bad);
		region_write(&region);
		torture_disturb(&region);
		CHECK_REGION(&region, "written after they were freed");
	}
	return 0;
}

TORTURE_TEST(pageout, "pageout", "swapped out and touched again, many times")
{
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	for (int round = 0; round < 8; round++) {
		torture_disturb(&region);
		if (round % 4 == 3)
			CHECK_REGION(&region, "after swapping again and again");
	}
	return 0;
}

TORTURE_TEST(lock, "mlock", "locked pages are in RAM and stay there")
{
	struct region_residency residency;
	struct region region;

	if (torture_prepare(context, &region))
		return 1;
	CHECK(mlock(region.base, region.pages * PAGE_BYTES) == 0, "mlock: %s", strerror(errno));
	residency = region_residency(&region);
	CHECK(residency.swapped == 0, "%zu locked pages are swapped out", residency.swapped);
	CHECK_REGION(&region, "after they were locked");
	region_pageout(&region, 0, region.pages);
	torture_reclaim(region.pages * PAGE_BYTES);
	residency = region_residency(&region);
	CHECK(residency.swapped == 0, "%zu locked pages were swapped out", residency.swapped);
	CHECK(munlock(region.base, region.pages * PAGE_BYTES) == 0, "munlock: %s", strerror(errno));
	torture_disturb(&region);
	CHECK_REGION(&region, "after they were unlocked");
	return 0;
}
