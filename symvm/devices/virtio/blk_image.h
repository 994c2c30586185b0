/* SPDX-License-Identifier: BSD-2-Clause */
/* The file or block device behind a disk: opened, checked and locked. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_IMAGE_H
#define SYMVM_DEVICES_VIRTIO_BLK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

#define BLK_SECTOR 512u

struct blk_image {
	int fd;
	bool readonly;
	bool direct;
	bool block_device;
	uint64_t sectors;    /* of 512 bytes */
	unsigned block_size; /* bytes; the smallest unit that I/O may have */
};

/*
 * Opens @path as a raw image and locks it: several readers or one writer, among
 * all processes on this host. -ENOENT, -EISDIR, -EACCES, -EROFS, -EBUSY (in use), -EINVAL with
 * one line in @err that names the file. Main thread.
 */
int blk_image_open(struct blk_image *image, const char *path, bool readonly, bool direct,
		   struct error *err);
/* Closes it, which drops the lock. */
void blk_image_close(struct blk_image *image);

#endif
