// SPDX-License-Identifier: BSD-2-Clause
#include "devices/chardev_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_ALIGN 65536u /* a multiple of every file system's block size */

/*
 * The file has reached its limit: frees the older half. If the file system cannot cut it off (ext4
 * and XFS can), this leaves a hole, which takes no space.
 */
static int file_trim(struct chardev_file *file)
{
	uint64_t half = file->limit / 2 / FILE_ALIGN * FILE_ALIGN;
	struct stat st;

	/* Another process may have emptied the file. */
	if (fstat(file->fd, &st) == 0 && (uint64_t)st.st_size < file->cut + file->taken) {
		file->cut = 0;
		file->taken = (uint64_t)st.st_size;
		return 0;
	}
	if (file->cut == 0 && fallocate(file->fd, FALLOC_FL_COLLAPSE_RANGE, 0, (off_t)half) == 0) {
		file->taken -= half;
		return 0;
	}
	if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)file->cut,
		      (off_t)half) < 0)
		return -errno;
	file->cut += half;
	file->taken -= half;
	return 0;
}

size_t chardev_file_write(struct chardev_file *file, const uint8_t *data, size_t length,
			  int *status)
{
	while (length) {
		ssize_t done;

		if (file->limit && file->taken + length > file->limit) {
			*status = file_trim(file);
			if (*status < 0)
				return length;
		}
		done = write(file->fd, data, length);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			*status = -errno;
			return length;
		}
		file->taken += (uint64_t)done;
		data += done;
		length -= (size_t)done;
	}
	return 0;
}
