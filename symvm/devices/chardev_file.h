/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream's output to a file, which takes a bounded part of the host's disk. */
#ifndef SYMVM_DEVICES_CHARDEV_FILE_H
#define SYMVM_DEVICES_CHARDEV_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

struct chardev_file {
	int fd;			  /* opened with O_APPEND where there is a limit; not owned */
	uint64_t limit;		  /* bytes that the file may take on the host; 0: no limit */
	uint64_t taken;		  /* bytes that it takes */
	uint64_t cut;		  /* what is freed at its front: holes where it cannot be cut off */
	uint64_t silent_until_ns; /* no complaint before that */
};

/*
 * Writes @length bytes. At the limit the older half of the file goes. What the file does not take
 * is lost: returns how many bytes that are, and @log hears of it once a minute. Not locked.
 */
size_t chardev_file_write(struct chardev_file *file, const uint8_t *data, size_t length,
			  struct log *log);

#endif
