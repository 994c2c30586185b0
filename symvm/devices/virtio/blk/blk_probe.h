/* SPDX-License-Identifier: BSD-2-Clause */
/* What the host's file or block device can do: found out without changing it. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_PROBE_H
#define SYMVM_DEVICES_VIRTIO_BLK_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether holes can be punched into @fd, so that the host gets its space back. */
bool blk_probe_punch(int fd, bool block_device, uint64_t size);
/*
 * What direct I/O on @fd, opened with O_DIRECT, needs: the alignment of offsets and lengths, and
 * of memory, in bytes. -EOPNOTSUPP if the file has none. Where the host cannot tell, what
 * every device takes.
 */
int blk_probe_direct(int fd, unsigned *offset_align, unsigned *memory_align);
/*
 * Whether the host uses the file @fd itself, for a loop device; its name goes to @name. @written:
 * count only those that can be written to.
 */
bool blk_probe_loop(int fd, bool written, char *name, unsigned size);

#endif
