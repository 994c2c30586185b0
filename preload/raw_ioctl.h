/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioctl() without the library's own ioctl(), which is in front of the C library's. The linker sends
 * libsymcall's calls of ioctl() here, too (--wrap=ioctl). Any thread.
 */
#ifndef PRELOAD_RAW_IOCTL_H
#define PRELOAD_RAW_IOCTL_H

#include <errno.h>

/* The system call: its result, or a negative errno. */
long preload_raw_ioctl(int fd, unsigned long request, void *argument);

/* What ioctl() returns for @result of the system call: -1 and errno for a negative errno. */
static inline int ioctl_result(long result)
{
	if (result >= 0)
		return (int)result;
	errno = (int)-result;
	return -1;
}

/* As the C library's ioctl(): -1 and errno. */
int __wrap_ioctl(int fd, unsigned long request, ...);

#endif
