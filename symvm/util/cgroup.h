/* SPDX-License-Identifier: BSD-2-Clause */
/* Control groups of version 2: Documentation/admin-guide/cgroup-v2.rst, proc_pid_stat(5). */
#ifndef SYMVM_UTIL_CGROUP_H
#define SYMVM_UTIL_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CGROUP_PROC "/proc" /* where processes are, but in tests */

/* What /proc/PID/stat says about a process. */
struct cgroup_process {
	pid_t parent;
	bool is_kernel_thread;
	uint64_t
		start; /* since boot, in clock ticks: no later process has the same pid and start */
};

/*
 * Reads it for @pid from the directory @proc. False: there is no such process, or it is hidden. Any
 * thread that may open files below @proc.
 */
bool cgroup_process_read(const char *proc, pid_t pid, struct cgroup_process *process);

/*
 * Whether a limit on the group with the directory @dir bounds @pid alone: the group holds @pid, its
 * own children, and kernel threads only. KVM and vhost put kernel threads into the group of the
 * process that they work for (virt/kvm/kvm_main.c, drivers/vhost/vhost.c). A process that has just
 * ended does not count. A process of another PID namespace, which the kernel shows as 0, is a
 * foreign one. False also if the group cannot be read, or has more than CGROUP_FAMILY_MAX members.
 * @proc: CGROUP_PROC. Any thread that may open files below @dir and @proc.
 */
#define CGROUP_FAMILY_MAX 32u
bool cgroup_is_own(const char *dir, const char *proc, pid_t pid);

#endif
