/* SPDX-License-Identifier: BSD-2-Clause */
/* Recognises files that are no raw image but hold one, in a format that symvm does not read. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_FORMAT_H
#define SYMVM_DEVICES_VIRTIO_BLK_FORMAT_H

#include <stdint.h>

#include "util/error.h"

/*
 * Looks at the @size bytes of @fd. -EMEDIUMTYPE if they are an image in another format or
 * compressed: @err then names the format and the command that makes it raw. Whoever can
 * write to the disk can bring that about, so it must cost no more than a refusal. Any thread.
 */
int blk_format_check(int fd, uint64_t size, const char *path, struct error *err);

#endif
