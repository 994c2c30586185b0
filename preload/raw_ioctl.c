// SPDX-License-Identifier: BSD-2-Clause
#include "raw_ioctl.h"

#include <stdarg.h>
#include <sys/syscall.h>

/* Not syscall(): that would set errno, which the VMM must not see changed. */
long preload_raw_ioctl(int fd, unsigned long request, void *argument)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_ioctl), "D"((long)fd), "S"(request), "d"(argument)
			 : "rcx", "r11", "memory");
	return result;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return ioctl_result(preload_raw_ioctl(fd, request, argument));
}
