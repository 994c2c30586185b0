// SPDX-License-Identifier: BSD-2-Clause
/* Documentation/admin-guide/cgroup-v2.rst, getrlimit(2). */
#include "jail/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "util/cgroup.h"
#include "util/text_file.h"

/* Private writable memory of this process in bytes, as RLIMIT_DATA counts it; 0: unknown. */
static uint64_t data_size(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long data = 0;

	if (!file)
		return 0;
	/* The sixth number is data and stack. */
	if (fscanf(file, "%*s %*s %*s %*s %*s %llu", &data) != 1)
		data = 0;
	fclose(file);
	return data * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit now;

	if (getrlimit(resource, &now) < 0)
		return -errno;
	if (value > now.rlim_max)
		value = now.rlim_max;
	now.rlim_cur = now.rlim_max = value;
	return setrlimit(resource, &now) < 0 ? -errno : 0;
}

int jail_limits_set(uint64_t *heap_limit)
{
	uint64_t data = data_size();
	struct rlimit now;
	int status;

	*heap_limit = 0;
	if (data && limit(RLIMIT_DATA, data + JAIL_HEAP_MAX) == 0 &&
	    getrlimit(RLIMIT_DATA, &now) == 0)
		*heap_limit = now.rlim_cur;
	status = limit(RLIMIT_CORE, 0);
	if (status == 0)
		status = limit(RLIMIT_MEMLOCK, 0);
	if (status == 0 && getrlimit(RLIMIT_NOFILE, &now) == 0)
		status = limit(RLIMIT_NOFILE, now.rlim_cur);
	return status;
}

static bool read_text(const char *dir, const char *name, char *text, size_t size)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return text_file_read(path, text, size) > 0;
}

/* The directory of our group of version 2; @path points at the part below the mount. */
static bool find_group(char *dir, size_t size, const char **path, char *where, size_t where_size)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char text[4096], *own, *end;
	struct statfs fs;

	if (!read_text("/proc/self", "cgroup", text, sizeof(text)) ||
	    !(own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::"))) {
		snprintf(where, where_size, "none: no control groups of version 2 on this host");
		return false;
	}
	own = strstr(own, "0::") + 3;
	end = strchr(own, '\n');
	if (end)
		*end = '\0';
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		if (statfs(mounts[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		snprintf(dir, size, "%s%s", mounts[i], own);
		*path = dir + strlen(mounts[i]);
		return true;
	}
	snprintf(where, where_size, "none: control groups of version 2 are not mounted");
	return false;
}

/*
 * 1: the group is ours to limit, and @file is its memory.max; 0: it has the limit *@limit, which
 * its creator set; -errno with words in @where.
 */
static int judge_group(char *file, size_t size, uint64_t *limit, char *where, size_t where_size)
{
	char dir[480], text[64];
	const char *path;

	*limit = 0;
	if (!find_group(dir, sizeof(dir), &path, where, where_size))
		return -ENOENT;
	if (!read_text(dir, "memory.max", text, sizeof(text))) {
		snprintf(where, where_size, "none: group %.80s has no memory controller", path);
		return -ENOENT;
	}
	snprintf(where, where_size, "%.120s", path);
	if (strncmp(text, "max", 3) != 0) {
		*limit = strtoull(text, NULL, 10);
		return 0;
	}
	if (!cgroup_is_own(dir, CGROUP_PROC, getpid())) {
		snprintf(where, where_size, "none: other processes share group %.80s", path);
		return -EBUSY;
	}
	snprintf(file, size, "%s/memory.max", dir);
	if (access(file, W_OK) < 0) {
		snprintf(where, where_size, "none: group %.80s is not delegated to us", path);
		return -EACCES;
	}
	return 1;
}

void jail_cgroup_limit(uint64_t bytes, uint64_t *limit, char *where, size_t size)
{
	char file[512], text[24];
	int fd, length;

	if (judge_group(file, sizeof(file), limit, where, size) <= 0)
		return;
	length = snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)length) < 0)
		snprintf(where, size, "none: memory.max cannot be set: %s", strerror(errno));
	else
		*limit = bytes;
	if (fd >= 0)
		close(fd);
}

int jail_cgroup_probe(char *where, size_t size)
{
	uint64_t limit;
	char file[512];
	int status = judge_group(file, sizeof(file), &limit, where, size);

	return status < 0 ? status : 0;
}
