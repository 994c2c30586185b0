// SPDX-License-Identifier: BSD-2-Clause
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE_MAGIC     0x5359ull
#define STEP	       0x9e3779b97f4a7c15ull
#define DESCRIBED_MAX  4
#define PAGEOUT_ROUNDS 8
#define CHUNK_PAGES    4096

/* Word 0 says which page and generation, word 1 whose; the others follow from the two. */
static uint64_t word_first(const struct region *region, size_t page)
{
	return PAGE_MAGIC << 48 | (uint64_t)region->generation[page] << 32 | (uint32_t)page;
}

static uint64_t mix(uint64_t value)
{
	value ^= value >> 31;
	value *= 0xbf58476d1ce4e5b9ull;
	value ^= value >> 29;
	return value;
}

static uint64_t word_expected(const struct region *region, uint64_t seed, size_t index)
{
	return index & (region->distinct - 1) ? ~seed : seed + index * STEP;
}

int region_adopt(struct region *region, void *base, size_t pages, uint32_t owner)
{
	size_t bytes = pages * sizeof(*region->generation);
	void *generation = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (generation == MAP_FAILED)
		return -errno;
	mlock(generation, bytes); /* without the right to lock it may swap, and is still right */
	*region = (struct region){
		.base = base,
		.pages = pages,
		.owner = owner,
		.distinct = REGION_DISTINCT,
		.generation = generation,
	};
	return 0;
}

int region_create(struct region *region, size_t pages, uint32_t owner)
{
	void *base = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int error;

	if (base == MAP_FAILED)
		return -errno;
	error = region_adopt(region, base, pages, owner);
	if (error)
		munmap(base, pages * PAGE_BYTES);
	return error;
}

void region_destroy(struct region *region)
{
	munmap(region->base, region->pages * PAGE_BYTES);
	munmap(region->generation, region->pages * sizeof(*region->generation));
}

void region_render_page(struct region *region, size_t page, void *bytes)
{
	uint64_t *words = bytes;
	uint64_t first, seed;

	if (++region->generation[page] == 0)
		region->generation[page] = 1;
	first = word_first(region, page);
	seed = mix(first ^ (uint64_t)region->owner << 13);
	words[0] = first;
	words[1] = region->owner;
	for (size_t i = 2; i < PAGE_WORDS; i++)
		words[i] = word_expected(region, seed, i);
}

void region_write_page(struct region *region, size_t page)
{
	region_render_page(region, page, region_page(region, page));
}

void region_write(struct region *region)
{
	for (size_t page = 0; page < region->pages; page++)
		region_write_page(region, page);
}

bool region_check_words(const struct region *region, size_t page, unsigned int words,
			unsigned int round)
{
	const volatile uint64_t *content = (const uint64_t *)region_page(region, page);
	uint64_t first = word_first(region, page);
	uint64_t seed = mix(first ^ (uint64_t)region->owner << 13);
	size_t index = round % PAGE_WORDS;

	if (content[0] != first || content[1] != region->owner)
		return false;
	for (unsigned int i = 2; i < words; i++) {
		index = (index + 509) % PAGE_WORDS; /* odd: comes to every word in time */
		if (index > 1 && content[index] != word_expected(region, seed, index))
			return false;
	}
	return true;
}

bool region_matches(const struct region *region, size_t page, const void *bytes)
{
	const uint64_t *content = bytes;
	uint64_t first = word_first(region, page);
	uint64_t seed = mix(first ^ (uint64_t)region->owner << 13);
	uint64_t wrong = 0;

	if (region->generation[page] == 0) {
		for (size_t i = 0; i < PAGE_WORDS; i++)
			wrong |= content[i];
		return wrong == 0;
	}
	wrong = (content[0] ^ first) | (content[1] ^ region->owner);
	for (size_t i = 2; i < PAGE_WORDS; i++)
		wrong |= content[i] ^ word_expected(region, seed, i);
	return wrong == 0;
}

void region_describe(const struct region *region, size_t page)
{
	const uint64_t *words = (const uint64_t *)region_page(region, page);
	uint64_t first = words[0];

	fprintf(stderr, "page %zu of owner %" PRIu32 ", generation %u: ", page, region->owner,
		region->generation[page]);
	if (first >> 48 != PAGE_MAGIC) {
		fprintf(stderr, "holds %016" PRIx64 " %016" PRIx64 " ...\n", first, words[1]);
		return;
	}
	fprintf(stderr, "holds page %" PRIu32 ", generation %u, of owner %" PRIu64 "\n",
		(uint32_t)first, (unsigned int)(first >> 32 & 0xffff), words[1]);
}

size_t region_check_range(const struct region *region, size_t from, size_t to)
{
	size_t bad = 0;

	for (size_t page = from; page < to; page++) {
		if (region_matches(region, page, region_page(region, page)))
			continue;
		if (bad++ < DESCRIBED_MAX)
			region_describe(region, page);
	}
	return bad;
}

size_t region_check(const struct region *region)
{
	return region_check_range(region, 0, region->pages);
}

static void residency_add(struct region_residency *sum, const uint64_t *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (entries[i] >> 63)
			sum->present++;
		else if (entries[i] >> 62 & 1)
			sum->swapped++;
		else
			sum->none++;
	}
}

static struct region_residency range_residency(const struct region *region, size_t from, size_t to)
{
	static uint64_t entries[CHUNK_PAGES];
	struct region_residency sum = {0};
	size_t start = (uintptr_t)region->base / PAGE_BYTES;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (size_t page = from; fd >= 0 && page < to;) {
		size_t count = to - page < CHUNK_PAGES ? to - page : CHUNK_PAGES;
		ssize_t got = pread(fd, entries, count * sizeof(*entries),
				    (off_t)((start + page) * sizeof(*entries)));

		if (got <= 0)
			break;
		residency_add(&sum, entries, (size_t)got / sizeof(*entries));
		page += (size_t)got / sizeof(*entries);
	}
	if (fd >= 0)
		close(fd);
	return sum;
}

struct region_residency region_residency(const struct region *region)
{
	return range_residency(region, 0, region->pages);
}

size_t region_pageout(const struct region *region, size_t from, size_t to)
{
	size_t swapped = 0, before;

	/* Pages that were just written are still on a per-CPU list, or dirty in the swap cache. */
	for (int round = 0; round < PAGEOUT_ROUNDS; round++) {
		before = swapped;
		madvise(region_page(region, from), (to - from) * PAGE_BYTES, MADV_PAGEOUT);
		swapped = range_residency(region, from, to).swapped;
		if (swapped >= (to - from) * 99 / 100 || (round > 3 && swapped == before))
			break;
		usleep(1000);
	}
	return swapped;
}

static void counters_line(struct vm_counters *counters, const char *line)
{
	static const struct {
		const char *name;
		size_t offset;
	} fields[] = {
		{"pswpin ", offsetof(struct vm_counters, swap_in)},
		{"pswpout ", offsetof(struct vm_counters, swap_out)},
		{"pgmajfault ", offsetof(struct vm_counters, major_faults)},
		{"pgfault ", offsetof(struct vm_counters, faults)},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		size_t length = strlen(fields[i].name);

		if (strncmp(line, fields[i].name, length) == 0)
			*(uint64_t *)((char *)counters + fields[i].offset) = strtoull(line + length,
										      NULL, 10);
	}
}

struct vm_counters vm_counters_read(void)
{
	struct vm_counters counters = {0};
	FILE *file = fopen("/proc/vmstat", "re");
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		counters_line(&counters, line);
	if (file)
		fclose(file);
	return counters;
}

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t value = (*state += STEP);

	value = mix(value);
	return value ^ value >> 32;
}
