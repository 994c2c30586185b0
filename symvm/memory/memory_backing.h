/* SPDX-License-Identifier: BSD-2-Clause */
/* The file behind a VM's RAM. */
#ifndef SYMVM_MEMORY_BACKING_H
#define SYMVM_MEMORY_BACKING_H

#include "memory/memory.h"
#include "util/error.h"

/* Whether the host's administrator allows transparent huge pages at all. Any thread. */
bool memory_file_huge_allowed(void);

/*
 * Creates an anonymous file of @config->size bytes, which the caller closes. With MFD_HUGETLB if
 * the configuration says so. Otherwise in a tmpfs of its own that honours MADV_HUGEPAGE, if this
 * process may make one; else a plain memfd, for which the host's shmem_enabled decides. -errno with
 * the reason in @err. Before the jail closes.
 */
int memory_file_create(const struct memory_config *config, struct error *err);

/*
 * Takes all huge pages of the first @size bytes of @fd from the host's pool. After an error none of
 * them stays taken once the caller has closed @fd. This also asks the hugetlb cgroup, which a
 * promise (mmap() without MAP_NORESERVE) would not. -ENOMEM with how many are missing. Before the
 * jail closes.
 */
int memory_file_reserve(int fd, uint64_t size, struct error *err);

#endif
