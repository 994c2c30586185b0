/* SPDX-License-Identifier: BSD-2-Clause */
/* The output of a stream to a file, which takes a bounded amount of the host's disk. */
#ifndef SYMVM_DEVICES_CHARDEV_FILE_H
#define SYMVM_DEVICES_CHARDEV_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "util/log.h"

struct chardev_file {
	int fd;			  /* opened with O_APPEND if there is a limit; not owned */
	uint64_t limit;		  /* bytes that the file may take on the host; 0: no limit */
	uint64_t taken;		  /* bytes that it takes now */
	uint64_t cut;		  /* freed at its front; a hole if it cannot be cut off */
	uint64_t silent_until_ns; /* CLOCK_MONOTONIC: the next complaint at the earliest */
};

/*
 * Writes @length bytes. At the limit the older half of the file is freed. Returns how many bytes
 * were lost because the file did not take them; @log gets one line a minute about that. Takes no
 * lock: the caller serializes calls. Any thread.
 */
size_t chardev_file_write(struct chardev_file *file, const uint8_t *data, size_t length,
			  struct log *log);

#endif
