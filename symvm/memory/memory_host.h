/* SPDX-License-Identifier: BSD-2-Clause */
/* What memory the host can give this process, and the words for where it cannot. */
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
	uint64_t huge_free;  /* huge pages of 2 MiB: free in the pool, and promised to nobody */
	uint64_t huge_group; /* those that the hugetlb cgroups still allow; NO_LIMIT */
};

/*
 * Reads /proc and /sys below the directory @root ("": the real ones; tests have their own). What
 * cannot be read does not limit. Cgroups of both versions, with all their parents: kernel
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. Any thread, before the jail closes.
 */
void memory_host_read(struct memory_host *host, const char *root);

/* Whether @host can give the boot's RAM that @config asks for. -ENOMEM with the limit in @err. */
int memory_host_check(const struct memory_host *host, const struct memory_config *config,
		      struct error *err);

/* Says in @err why @size bytes of huge pages could not be had. @code: what to return, negative. */
int memory_host_explain_huge(const struct memory_host *host, uint64_t size, int code,
			     struct error *err);

#endif
