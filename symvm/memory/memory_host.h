/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory the host can give this process, and words for the errors if it cannot. */
#ifndef SYMVM_MEMORY_HOST_H
#define SYMVM_MEMORY_HOST_H

#include <stdint.h>

#include "memory/memory.h"
#include "util/error.h"

#define MEMORY_HOST_NO_LIMIT UINT64_MAX

struct memory_host {
	uint64_t total;	 /* bytes of RAM; 0: unknown */
	uint64_t group;	 /* bytes that the memory cgroups allow, swap included; NO_LIMIT */
	uint64_t commit; /* bytes that may still be promised (vm.overcommit_memory=2); NO_LIMIT */
	/* By memory_host_read_huge(): */
	uint64_t huge_free;  /* huge pages of 2 MiB: free in the pool, and not promised */
	uint64_t huge_group; /* those that the hugetlb cgroups still allow; NO_LIMIT */
};

/*
 * Reads /proc and /sys below the directory @root ("": the real ones; tests have their own). Files
 * that cannot be read set no limit. Cgroups of both versions, with all their parents: kernel
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. Any thread, before the jail closes.
 */
void memory_host_read(struct memory_host *host, const char *root);

/*
 * Reads what memory_host_read() leaves out: only an error about huge pages needs it, and each file
 * delays the guest's start. The same files, thread and contract.
 */
void memory_host_read_huge(struct memory_host *host, const char *root);

/*
 * Whether @host can give the boot-time RAM that @config asks for. -ENOMEM with the limit in @err.
 */
int memory_host_check(const struct memory_host *host, const struct memory_config *config,
		      struct error *err);

/*
 * Says in @err why the host cannot give @size bytes of huge pages. Returns @code, which is
 * negative.
 */
int memory_host_explain_huge(const struct memory_host *host, uint64_t size, int code,
			     struct error *err);

#endif
