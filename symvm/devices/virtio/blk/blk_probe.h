/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds out what the host's file or block device can do, without changing it. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_PROBE_H
#define SYMVM_DEVICES_VIRTIO_BLK_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether holes can be punched into @fd, so that the host gets its space back. Any thread. */
bool blk_probe_punch(int fd, bool block_device, uint64_t size);
/*
 * What direct I/O on @fd, opened with O_DIRECT, needs: the alignment of offsets and lengths, and of
 * memory, in bytes. -EOPNOTSUPP if the file has no direct I/O. If the host cannot tell, the result
 * is an alignment that every device takes. Any thread.
 */
int blk_probe_direct(int fd, unsigned *offset_align, unsigned *memory_align);
/*
 * Whether the host itself uses the file @fd, for a loop device; the device's name is written to
 * @name. @written: count only devices that can be written to. Any thread.
 */
bool blk_probe_loop(int fd, bool written, char *name, unsigned size);

#endif
