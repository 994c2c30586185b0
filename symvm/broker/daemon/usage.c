// SPDX-License-Identifier: BSD-2-Clause
/* Documentation/admin-guide/cgroup-v2.rst; proc(5): cgroup, statm. */
#include "broker/daemon/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cgroup.h"
#include "util/text_file.h"

#define CGROUPS "/sys/fs/cgroup"

/* Below the mount; false if the process is in no group of version 2, or in the root's. */
static bool group_find(pid_t pid, char *group, size_t size)
{
	char path[64], text[1024], *own, *end;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (text_file_read(path, text, sizeof(text)) <= 0)
		return false;
	own = strncmp(text, "0::", 3) == 0 ? text + 3 : strstr(text, "\n0::");
	if (own && *own == '\n')
		own += strlen("\n0::");
	end = own ? strchr(own, '\n') : NULL;
	if (!end || end - own >= (ptrdiff_t)size || end - own < 2 || strstr(own, "/../"))
		return false;
	*end = '\0';
	memcpy(group, own, (size_t)(end - own) + 1);
	return true;
}

static int group_open(const char *group, const char *file, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), CGROUPS "%s/%s", group, file);
	return open(path, flags | O_CLOEXEC);
}

static void account_open(struct usage *usage)
{
	char dir[256];

	if (!group_find(usage->pid, usage->group, sizeof(usage->group))) {
		snprintf(usage->words, sizeof(usage->words),
			 "it is in no control group of version 2 of its own");
		return;
	}
	snprintf(dir, sizeof(dir), CGROUPS "%s", usage->group);
	if (!cgroup_is_own(dir, CGROUP_PROC, usage->pid)) {
		snprintf(usage->words, sizeof(usage->words),
			 "other processes share its control group %.80s", usage->group);
		return;
	}
	usage->current_fd = group_open(usage->group, "memory.current", O_RDONLY);
	usage->high_fd = group_open(usage->group, "memory.high", O_WRONLY);
	usage->pressure_fd = group_open(usage->group, "memory.pressure", O_RDONLY);
	if (usage->current_fd < 0)
		snprintf(usage->words, sizeof(usage->words),
			 "its control group %.80s has no memory controller", usage->group);
	else if (usage->high_fd < 0)
		snprintf(usage->words, sizeof(usage->words),
			 "its control group %.80s is not delegated to the broker", usage->group);
}

int usage_open(struct usage *usage, pid_t pid, struct error *err)
{
	struct cgroup_process process;
	char path[64];

	*usage = (struct usage){
		.pid = pid, .resident_fd = -1, .current_fd = -1, .high_fd = -1, .pressure_fd = -1};
	if (pid <= 0)
		return error_set(err, -ESRCH,
				 "the broker cannot see this VM's process: it is in another PID "
				 "namespace");
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	usage->resident_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (usage->resident_fd < 0 || !cgroup_process_read(CGROUP_PROC, pid, &process)) {
		usage_close(usage);
		return error_set(err, -ESRCH, "the broker cannot see this VM's process %d",
				 (int)pid);
	}
	usage->start = process.start;
	account_open(usage);
	return 0;
}

static void high_write(struct usage *usage, const char *text)
{
	/* The VM's group may be gone by now. */
	if (pwrite(usage->high_fd, text, strlen(text), 0) < 0 && errno != ENODEV)
		usage->high = 0;
}

void usage_limit(struct usage *usage, uint64_t bytes)
{
	char text[24];

	if (usage->high_fd < 0 || usage->high == bytes)
		return;
	usage->high = bytes;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	high_write(usage, text);
}

static void descriptor_drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void usage_close(struct usage *usage)
{
	if (usage->high_fd >= 0 && usage->high)
		high_write(usage, "max");
	descriptor_drop(&usage->resident_fd);
	descriptor_drop(&usage->current_fd);
	descriptor_drop(&usage->high_fd);
	descriptor_drop(&usage->pressure_fd);
}

/* The second number: resident pages. All are 0 if the process has ended but was not waited for. */
static bool resident_read(struct usage *usage, uint64_t *bytes)
{
	unsigned long long size, resident;
	char text[128];

	if (text_file_read_fd(usage->resident_fd, text, sizeof(text)) <= 0 ||
	    sscanf(text, "%llu %llu", &size, &resident) != 2 || size == 0)
		return false;
	*bytes = resident * 4096;
	return true;
}

bool usage_read(struct usage *usage, uint64_t *bytes)
{
	char text[32];

	if (!resident_read(usage, bytes))
		return false;
	if (usage->current_fd >= 0 && text_file_read_fd(usage->current_fd, text, sizeof(text)) > 0)
		*bytes = strtoull(text, NULL, 10);
	return true;
}
