/* SPDX-License-Identifier: BSD-2-Clause */
/* The file or block device behind a disk: opened, checked and locked. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_IMAGE_H
#define SYMVM_DEVICES_VIRTIO_BLK_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/blk/blk_engine.h"
#include "util/error.h"

#define BLK_SECTOR 512u

struct blk_image_options {
	bool readonly;
	bool direct;
	bool any_format; /* the bytes are the disk, whatever format they look like */
};

struct blk_image {
	int fd;
	bool readonly;
	bool block_device;
	bool can_punch;		/* the host takes freed space back */
	uint64_t bytes;		/* of the file, before the size is rounded down */
	uint64_t sectors;	/* of 512 bytes */
	unsigned block_size;	/* bytes; the smallest unit that the guest's I/O may have */
	unsigned physical_size; /* bytes; the smallest unit that is written without a read */
	struct blk_access access;
};

/*
 * Opens @path as a raw image and locks it: several readers or one writer, among all processes on
 * this host. A block device that the host has mounted or uses otherwise is refused. -ENOENT,
 * -EISDIR, -EACCES, -EROFS, -EBUSY (in use), -EMEDIUMTYPE (another format), -EINVAL with one line
 * in @err that names the file. Changes nothing in the file. Main thread.
 */
int blk_image_open(struct blk_image *image, const char *path,
		   const struct blk_image_options *options, struct error *err);
/* Closes the file, which drops the lock. Main thread. */
void blk_image_close(struct blk_image *image);

#endif
