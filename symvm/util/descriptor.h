/* SPDX-License-Identifier: BSD-2-Clause */
/* File descriptors: the three standard streams, which others gave us, and whole writes. */
#ifndef SYMVM_UTIL_DESCRIPTOR_H
#define SYMVM_UTIL_DESCRIPTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Fills each of the descriptors 0, 1 and 2 that is closed with one that refuses to be read (0) or
 * written (1, 2) with EBADF. Otherwise the next file that is opened would become a standard
 * stream: a guest's console could end up in its disk. main() calls this first. -errno.
 */
int descriptor_fill_standard(void);

/*
 * Returns a descriptor for the terminal or pipe behind @fd that does not block. @fd itself is left
 * alone: its flags are shared with the shell and with each other process that has it. @flags:
 * O_RDONLY or O_WRONLY. The result is a new descriptor that the caller owns (*@own true); or @fd
 * itself if it is something else or cannot be opened again (*@own false); or -1 if @fd is closed.
 * Before the jail.
 */
int descriptor_reopen(int fd, int flags, bool *own);

/*
 * Writes all @size bytes at @offset of a file. A file system that is full may take a part first;
 * the next try then says why. -errno, or -EIO if a write takes nothing. Any thread; waits for the
 * disk.
 */
int descriptor_write_at(int fd, const void *data, size_t size, off_t offset);

#endif
