/* SPDX-License-Identifier: BSD-2-Clause */
/* How much of the host a VMM may take: limits of the process, and of its control group. */
#ifndef SYMVM_JAIL_LIMITS_H
#define SYMVM_JAIL_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Memory of the VMM itself beside the guest's: buffers of libslirp and of disks, answers. */
#define JAIL_HEAP_MAX (1ull << 30)

/*
 * No core file, so that guest memory never reaches a disk, and no debugger of the same user; at
 * most JAIL_HEAP_MAX more of private memory than now, where malloc() gives NULL; no descriptors
 * beyond the limit of now, no locked memory. RLIMIT_NPROC stays: clone() is refused by the filters,
 * and a lower limit would count other VMs of the same user and stop io_uring's workers.
 * *@heap_limit: RLIMIT_DATA; 0 where it cannot be set. -errno.
 */
int jail_limits_set(uint64_t *heap_limit);

/*
 * Sets memory.max of the VMM's control group (version 2) to @bytes where the group is this
 * process's alone and it may write there, and has no limit yet. *@limit: the one in force; 0:
 * none. @where: the group's path, or why there is no limit.
 */
void jail_cgroup_limit(uint64_t bytes, uint64_t *limit, char *where, size_t size);

/* The same without setting anything, for `symvm doctor`. 0: such a limit can be set, or is set. */
int jail_cgroup_probe(char *where, size_t size);

#endif
