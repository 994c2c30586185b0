// SPDX-License-Identifier: BSD-2-Clause
#include "memory/memory_host.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/text_file.h"

#define HUGE_POOL   "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define CGROUPS	    "/sys/fs/cgroup"
#define PATH_SIZE   1024
#define V1_NO_LIMIT (1ull << 62) /* version 1 writes "none" as a number near 2^63 */

/* The files of one limit, in both versions. @usage NULL: usage is not subtracted from the limit. */
struct group_limit {
	const char *controller; /* of version 1 */
	const char *limit[2];	/* by version, less one */
	const char *usage[2];
};

static const struct group_limit memory_limit = {
	"memory", {"memory.limit_in_bytes", "memory.max"}, {NULL, NULL}};
/* Version 1 counts memory and swap together. */
static const struct group_limit swap_limit = {"memory", {NULL, "memory.swap.max"}, {NULL, NULL}};
static const struct group_limit both_limit = {
	"memory", {"memory.memsw.limit_in_bytes", NULL}, {NULL, NULL}};
static const struct group_limit huge_limit = {
	"hugetlb",
	{"hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"},
	{"hugetlb.2MB.usage_in_bytes", "hugetlb.2MB.current"}};
static const struct group_limit huge_promise_limit = {
	"hugetlb",
	{"hugetlb.2MB.rsvd.limit_in_bytes", "hugetlb.2MB.rsvd.max"},
	{"hugetlb.2MB.rsvd.usage_in_bytes", "hugetlb.2MB.rsvd.current"}};

/* Reads the start of a file below @root as text; false if it cannot be read. */
static bool text_read(const char *root, const char *path, char *text, size_t size)
{
	char whole[PATH_SIZE];

	return snprintf(whole, sizeof(whole), "%s%s", root, path) < (int)sizeof(whole) &&
	       text_file_read(whole, text, size) > 0;
}

/* Reads a file with one number; @otherwise if there is none ("max"). */
static uint64_t number_read(const char *root, const char *path, uint64_t otherwise)
{
	char text[64], *end;
	uint64_t value;

	if (!text_read(root, path, text, sizeof(text)))
		return otherwise;
	errno = 0;
	value = strtoull(text, &end, 10);
	return end == text || errno || value >= V1_NO_LIMIT ? otherwise : value;
}

/* A line of /proc/meminfo, in bytes. */
static uint64_t meminfo_find(const char *text, const char *key, uint64_t otherwise)
{
	const char *line = strstr(text, key);

	return line ? strtoull(line + strlen(key), NULL, 10) << 10 : otherwise;
}

/* What one directory of a cgroup tree allows. */
static uint64_t limit_read(const char *root, const char *directory, const struct group_limit *limit,
			   unsigned version)
{
	char path[PATH_SIZE];
	uint64_t most, used = 0;

	if (!limit->limit[version - 1])
		return MEMORY_HOST_NO_LIMIT;
	if (snprintf(path, sizeof(path), "%s/%s", directory, limit->limit[version - 1]) >=
	    (int)sizeof(path))
		return MEMORY_HOST_NO_LIMIT;
	most = number_read(root, path, MEMORY_HOST_NO_LIMIT);
	if (most == MEMORY_HOST_NO_LIMIT || !limit->usage[version - 1])
		return most;
	if (snprintf(path, sizeof(path), "%s/%s", directory, limit->usage[version - 1]) <
	    (int)sizeof(path))
		used = number_read(root, path, 0);
	return most > used ? most - used : 0;
}

/*
 * The least that a cgroup and its parents allow. Each memory limit has up to @swap bytes of allowed
 * swap added.
 */
static uint64_t limit_walk(const char *root, const char *mount, const char *group,
			   const struct group_limit *limit, unsigned version, uint64_t swap)
{
	uint64_t least = MEMORY_HOST_NO_LIMIT;
	char path[PATH_SIZE];
	size_t base = strlen(mount);

	if (snprintf(path, sizeof(path), "%s%s", mount, group) >= (int)sizeof(path))
		return least;
	for (;;) {
		uint64_t here = limit_read(root, path, limit, version);
		char *slash = strrchr(path, '/');

		if (here != MEMORY_HOST_NO_LIMIT && limit == &memory_limit) {
			uint64_t more = limit_read(root, path, &swap_limit, version);

			here += more < swap ? more : swap;
		}
		least = here < least ? here : least;
		if (!slash || (size_t)(slash - path) < base)
			return least;
		*slash = '\0';
	}
}

/* Whether the comma separated @list has @word. */
static bool list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || !at[length]))
			return true;
	}
	return false;
}

/* The limit in the cgroup that one line of /proc/self/cgroup names: "4:memory:/path". */
static uint64_t line_limit(const char *root, char *line, const struct group_limit *limit,
			   uint64_t swap)
{
	char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
	char mount[PATH_SIZE];

	if (!group)
		return MEMORY_HOST_NO_LIMIT;
	*group++ = '\0';
	list++;
	if (*list == '\0')
		return limit_walk(root, CGROUPS, group, limit, 2, swap);
	if (!list_has(list, limit->controller))
		return MEMORY_HOST_NO_LIMIT;
	snprintf(mount, sizeof(mount), CGROUPS "/%s", limit->controller);
	return limit_walk(root, mount, group, limit, 1, swap);
}

static uint64_t group_limit(const char *root, const char *cgroups, const struct group_limit *limit,
			    uint64_t swap)
{
	uint64_t least = MEMORY_HOST_NO_LIMIT;
	char *copy = strdup(cgroups), *rest = copy, *line;

	while (copy && (line = strsep(&rest, "\n"))) {
		uint64_t here = line_limit(root, line, limit, swap);

		least = here < least ? here : least;
	}
	free(copy);
	return least;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void memory_host_read_huge(struct memory_host *host, const char *root)
{
	char cgroups[4096] = "";
	uint64_t spare = number_read(root, HUGE_POOL "free_hugepages", 0);
	uint64_t promised = number_read(root, HUGE_POOL "resv_hugepages", 0);
	uint64_t group;

	text_read(root, "/proc/self/cgroup", cgroups, sizeof(cgroups));
	group = least_of(group_limit(root, cgroups, &huge_limit, 0),
			 group_limit(root, cgroups, &huge_promise_limit, 0));
	host->huge_free = spare > promised ? spare - promised : 0;
	host->huge_group = group == MEMORY_HOST_NO_LIMIT ? group : group / MEMORY_HUGE_PAGE_SIZE;
}

void memory_host_read(struct memory_host *host, const char *root)
{
	char meminfo[4096] = "", cgroups[4096] = "";
	uint64_t limit, promised, swap;

	text_read(root, "/proc/meminfo", meminfo, sizeof(meminfo));
	text_read(root, "/proc/self/cgroup", cgroups, sizeof(cgroups));
	host->total = meminfo_find(meminfo, "MemTotal:", 0);
	swap = meminfo_find(meminfo, "SwapTotal:", 0);
	host->group = least_of(group_limit(root, cgroups, &memory_limit, swap),
			       group_limit(root, cgroups, &both_limit, 0));
	host->commit = MEMORY_HOST_NO_LIMIT;
	if (number_read(root, "/proc/sys/vm/overcommit_memory", 0) == 2) {
		limit = meminfo_find(meminfo, "CommitLimit:", MEMORY_HOST_NO_LIMIT);
		promised = meminfo_find(meminfo, "Committed_AS:", 0);
		host->commit = limit == MEMORY_HOST_NO_LIMIT ? limit
			       : limit > promised	     ? limit - promised
							     : 0;
	}
}

int memory_host_check(const struct memory_host *host, const struct memory_config *config,
		      struct error *err)
{
	unsigned long long mib = config->size >> 20;

	if (host->total && config->size > host->total)
		return error_set(err, -ENOMEM, "memory: %llu MiB are more than the host's %llu MiB",
				 mib, (unsigned long long)(host->total >> 20));
	if (config->huge_pages)
		return 0; /* the pool decides, not these limits */
	if (config->size > host->group)
		return error_set(err, -ENOMEM,
				 "memory: %llu MiB are more than the %llu MiB that the memory "
				 "cgroup of this process allows",
				 mib, (unsigned long long)(host->group >> 20));
	if (config->size > host->commit)
		return error_set(err, -ENOMEM,
				 "memory: %llu MiB are more than the %llu MiB that the host may "
				 "still promise (vm.overcommit_memory=2)",
				 mib, (unsigned long long)(host->commit >> 20));
	return 0;
}

int memory_host_explain_huge(const struct memory_host *host, uint64_t size, int code,
			     struct error *err)
{
	unsigned long long wanted = size / MEMORY_HUGE_PAGE_SIZE, spare = host->huge_free;
	unsigned long long group = host->huge_group;

	if (host->huge_group < wanted && group < spare)
		return error_set(err, code,
				 "memory: no huge pages: %llu of 2 MiB needed, %llu allowed by the "
				 "hugetlb cgroup of this process (%llu free in the host's pool), "
				 "%llu missing",
				 wanted, group, spare, wanted - group);
	if (spare < wanted)
		return error_set(err, code,
				 "memory: no huge pages: %llu of 2 MiB needed, %llu free in the "
				 "host's pool (vm.nr_hugepages), %llu missing",
				 wanted, spare, wanted - spare);
	/*
	 * Pages are free, but not for this process: they are on another NUMA node, or were taken
	 * and given back meanwhile.
	 */
	return error_set_errno(err, code,
			       "memory: no huge pages: %llu of 2 MiB needed, %llu free in the "
			       "host's pool, but not all for this process",
			       wanted, spare);
}
