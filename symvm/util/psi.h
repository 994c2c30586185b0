/* SPDX-License-Identifier: BSD-2-Clause */
/* How short of memory the host is, from the kernel's pressure stall information. */
#ifndef SYMVM_UTIL_PSI_H
#define SYMVM_UTIL_PSI_H

#include <stdint.h>

#include "util/error.h"

/* The avg10 values, in hundredths of a percent. */
struct psi {
	uint32_t some;
	uint32_t full;
};

/*
 * Opens @path; NULL: the machine's /proc/pressure/memory. Returns a descriptor that stays readable
 * inside of the jail, or -errno (-EOPNOTSUPP if the host's kernel has no PSI) with words.
 */
int psi_open(const char *path, struct error *err);
/* The same for the control group that this process is in (cgroup v2); -errno without words. */
int psi_open_cgroup(void);
/* Reads the values now; zeroes if @fd is negative or gives none. Any thread. */
struct psi psi_read(int fd);
/* "12.34", the form of such averages, as 1234; 0 if it is not a number. */
uint32_t psi_hundredths(const char *text);

#endif
