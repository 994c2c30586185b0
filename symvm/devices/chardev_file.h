/* SPDX-License-Identifier: BSD-2-Clause */
/* The output of a stream to a file, which takes a bounded amount of the host's disk. */
#ifndef SYMVM_DEVICES_CHARDEV_FILE_H
#define SYMVM_DEVICES_CHARDEV_FILE_H

#include <stddef.h>
#include <stdint.h>

struct chardev_file {
	int fd;		/* opened with O_APPEND if there is a limit; not owned */
	uint64_t limit; /* bytes that the file may take on the host; 0: no limit */
	uint64_t taken; /* bytes that it takes now */
	uint64_t cut;	/* freed at its front; a hole if it cannot be cut off */
};

/*
 * Writes @length bytes, however long the host's disk takes. At the limit the older half of the file
 * is freed. Returns how many bytes were lost because the file did not take them; then *@status is
 * the reason, -errno. Takes no lock: the caller serializes calls. Any thread.
 */
size_t chardev_file_write(struct chardev_file *file, const uint8_t *data, size_t length,
			  int *status);

#endif
