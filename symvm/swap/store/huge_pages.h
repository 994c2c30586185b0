/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether the host gives huge pages to memfds unasked. */
#ifndef SYMVM_SWAP_STORE_HUGE_PAGES_H
#define SYMVM_SWAP_STORE_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Looks at shmem_enabled in @directory (/sys/kernel/mm/transparent_hugepage) and, for folios of
 * other sizes (Linux 6.11 and later), at hugepages-*kB/shmem_enabled. True: one of them applies to
 * a memfd of fixed size without advice; @name is its path below @directory. Main thread. Linux
 * Documentation/admin-guide/mm/transhuge.rst
 */
bool swap_huge_pages_find(const char *directory, char *name, size_t size);

#endif
