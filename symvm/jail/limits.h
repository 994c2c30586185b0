/* SPDX-License-Identifier: BSD-2-Clause */
/* How much of the host a VMM may take: limits of the process, and of its control group. */
#ifndef SYMVM_JAIL_LIMITS_H
#define SYMVM_JAIL_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Memory of the VMM itself, without the guest's: buffers of libslirp and of disks, answers. */
#define JAIL_HEAP_MAX (1ull << 30)

/*
 * No core file, so that guest memory never reaches a disk, and no debugger of the same user. At
 * most JAIL_HEAP_MAX more private memory than now; beyond it malloc() gives NULL. No descriptors
 * beyond the present limit, no locked memory. RLIMIT_NPROC stays: clone() is refused by the
 * filters, and a lower limit would count other VMs of the same user. *@heap_limit: RLIMIT_DATA; 0
 * if it cannot be set. -errno.
 */
int jail_limits_set(uint64_t *heap_limit);

/*
 * Sets memory.max of the VMM's control group (version 2) to @bytes if the group is this process's
 * own (cgroup_is_own()), the process may write there, and there is no limit yet. *@limit: the one
 * in force; 0: none. @where: the group's path, or why there is no limit.
 */
void jail_cgroup_limit(uint64_t bytes, uint64_t *limit, char *where, size_t size);

/* The same without setting anything, for `symvm doctor`. 0: such a limit can be set, or is set. */
int jail_cgroup_probe(char *where, size_t size);

#endif
