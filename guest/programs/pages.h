/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Anonymous memory whose every page says which page of whose region it is and how often it was
 * rewritten, so that a lost, stale or foreign page is found and named. Used in guests that swap.
 */
#ifndef SWAP_PAGES_H
#define SWAP_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES    4096ul
#define PAGE_WORDS    (PAGE_BYTES / sizeof(uint64_t))
#define PAGES_PER_MIB 256ul

/*
 * A region belongs to one process at a time; after fork each side goes on with its own copy of this
 * struct. `generation` is mapped privately and locked, so that it never swaps itself.
 */
struct region {
	uint8_t *base;
	size_t pages;
	uint32_t owner;
	uint32_t distinct;    /* one word in so many differs from all others; a power of two */
	uint16_t *generation; /* of each page; 0: never written, all zeros */
};

struct region_residency {
	size_t present; /* in RAM or mapped from elsewhere: no fault on reading */
	size_t swapped;
	size_t none; /* never touched, or dropped */
};

/*
 * How well pages compress follows from `distinct`, which may be changed before the first write:
 * with 4, the usual, about 3:1, as programs' data does.
 */
#define REGION_DISTINCT 4u

/* Map a region of so many pages. 0 or a negative errno. */
int region_create(struct region *region, size_t pages, uint32_t owner);
/* The same on memory that exists already (shared, a file's, at an address of one's own). */
int region_adopt(struct region *region, void *base, size_t pages, uint32_t owner);
/* Unmap it. */
void region_destroy(struct region *region);

static inline uint8_t *region_page(const struct region *region, size_t page)
{
	return region->base + page * PAGE_BYTES;
}

/* Write the page's next generation. */
void region_write_page(struct region *region, size_t page);
/* Put the page's next generation into `bytes` (one page) instead, for it to get there otherwise. */
void region_render_page(struct region *region, size_t page, void *bytes);
/* Write every page's next generation. */
void region_write(struct region *region);

/* Compare `words` words of the page (at least 2), spread over it and differently for each round. */
bool region_check_words(const struct region *region, size_t page, unsigned int words,
			unsigned int round);
/*
 * Compare all of [from, to). Returns the number of bad pages, the first few of which are described
 * on stderr: whose and which page is there instead.
 */
size_t region_check_range(const struct region *region, size_t from, size_t to);
size_t region_check(const struct region *region);
/* Describe what is wrong with the page on stderr. */
void region_describe(const struct region *region, size_t page);
/* Whether `bytes` (one page) are what `page` should hold: for copies got by other ways. */
bool region_matches(const struct region *region, size_t page, const void *bytes);

/* What /proc/self/pagemap says. */
struct region_residency region_residency(const struct region *region);
/* Ask the kernel to swap [from, to) out, until nearly all is or it gives up; what is swapped then.
 */
size_t region_pageout(const struct region *region, size_t from, size_t to);

/* Counters of the whole guest, since boot. */
struct vm_counters {
	uint64_t swap_in, swap_out, major_faults, faults;
};
struct vm_counters vm_counters_read(void);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

/* A random number generator of one's own: reproducible, and the same on every libc. */
uint64_t random_next(uint64_t *state);

#endif
