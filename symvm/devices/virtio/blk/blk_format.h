/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recognises files that are not raw images but contain one, in a format that symvm does not read.
 */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_FORMAT_H
#define SYMVM_DEVICES_VIRTIO_BLK_FORMAT_H

#include <stdint.h>

#include "util/error.h"

/*
 * Checks the @size bytes of @fd. -EMEDIUMTYPE if they are an image in another format or compressed:
 * @err then names the format and the command that makes it raw. A guest that can write to the disk
 * can cause this, so the only consequence is a refusal. Any thread.
 */
int blk_format_check(int fd, uint64_t size, const char *path, struct error *err);

#endif
