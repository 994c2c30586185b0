/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that a VM's RAM lies in. */
#ifndef SYMVM_MEMORY_BACKING_H
#define SYMVM_MEMORY_BACKING_H

#include "memory/memory.h"
#include "util/error.h"

/* Whether the host's administrator lets transparent huge pages be used at all. Any thread. */
bool memory_file_huge_allowed(void);

/*
 * A new anonymous file of @config->size bytes, the caller's to close. With MFD_HUGETLB where the
 * configuration says so. Otherwise in a tmpfs of its own that honours MADV_HUGEPAGE, where this
 * process may make one; else a plain memfd, where it depends on the host's shmem_enabled.
 * -errno with the reason in @err. Before the jail closes.
 */
int memory_file_create(const struct memory_config *config, struct error *err);

/*
 * Takes all huge pages of the first @size bytes of @fd from the host's pool, or none is left taken
 * once the caller has closed @fd. This also asks the hugetlb cgroup, which a promise (mmap()
 * without MAP_NORESERVE) would not. -ENOMEM with how many are missing. Before the jail closes.
 */
int memory_file_reserve(int fd, uint64_t size, struct error *err);

#endif
