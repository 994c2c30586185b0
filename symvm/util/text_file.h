/* SPDX-License-Identifier: BSD-2-Clause */
/* Small text files of the kernel: /proc, /sys, control groups. */
#ifndef SYMVM_UTIL_TEXT_FILE_H
#define SYMVM_UTIL_TEXT_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the start of the file @path, at most @size - 1 bytes, into @text, which ends in NUL in any
 * case ("" after an error). The rest is left out silently. Returns the number of bytes, or -errno.
 * Any thread that may open files (none inside the jail).
 */
ssize_t text_file_read(const char *path, char *text, size_t size);
/*
 * The same from the start of the open file @fd, whatever its offset; -EBADF if @fd is negative.
 * One system call (pread), so a file that the kernel writes is read as of one moment. Any thread.
 */
ssize_t text_file_read_fd(int fd, char *text, size_t size);

#endif
