// SPDX-License-Identifier: BSD-2-Clause
#include "util/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/text_file.h"

#define FLAG_KERNEL_THREAD 0x00200000u /* PF_KTHREAD, linux/sched.h */
#define PID_WIDTH	   12u	       /* of a line of cgroup.procs, at most */

/* The second field, the name of the process, may hold anything. */
bool cgroup_process_read(const char *proc, pid_t pid, struct cgroup_process *process)
{
	char path[256], text[1024], *rest;
	unsigned long long ticks;
	unsigned flags;

	snprintf(path, sizeof(path), "%s/%d/stat", proc, (int)pid);
	if (text_file_read(path, text, sizeof(text)) <= 0)
		return false;
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			    " %*c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			    "%*d %*d %llu",
			    &process->parent, &flags, &ticks) != 3)
		return false;
	process->is_kernel_thread = flags & FLAG_KERNEL_THREAD;
	process->start = ticks;
	return true;
}

static bool member_is_own(const char *proc, pid_t member, pid_t pid)
{
	struct cgroup_process process;

	if (member <= 0)
		return false;
	if (member == pid || !cgroup_process_read(proc, member, &process))
		return true;
	return process.parent == pid || process.is_kernel_thread;
}

bool cgroup_is_own(const char *dir, const char *proc, pid_t pid)
{
	char path[512], text[PID_WIDTH * CGROUP_FAMILY_MAX + 2], *line, *rest = text;
	ssize_t length;
	unsigned members = 0;

	if (snprintf(path, sizeof(path), "%s/cgroup.procs", dir) >= (int)sizeof(path))
		return false;
	length = text_file_read(path, text, sizeof(text));
	if (length <= 0 || length >= (ssize_t)sizeof(text) - 1)
		return false;
	while ((line = strsep(&rest, "\n")) && *line)
		if (++members > CGROUP_FAMILY_MAX ||
		    !member_is_own(proc, (pid_t)strtol(line, NULL, 10), pid))
			return false;
	return true;
}
