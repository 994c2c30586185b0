/* SPDX-License-Identifier: BSD-2-Clause */
/* Saved state of virtio devices: what all types share, and in it the part of the type. */
#ifndef SYMVM_DEVICES_VIRTIO_DEVICE_STATE_H
#define SYMVM_DEVICES_VIRTIO_DEVICE_STATE_H

#include "devices/virtio/core/virtio.h"

/* A queue as it is saved. */
struct virtio_queue_state {
	uint8_t enabled;
	uint16_t size, avail_next, used_next;
	uint64_t desc_gpa, avail_gpa, used_gpa;
};

/* device_ops.save and load of every virtio device. */
int virtio_device_save(struct device *device, struct serialize_writer *writer);
int virtio_device_load(struct device *device, struct serialize_reader *reader, uint32_t version);

/*
 * Stops @device until it is resumed. -EBUSY where the host does not complete its requests within
 * some seconds. Waits for the I/O loop.
 */
int virtio_device_quiesce(struct virtio_device *device);

#endif
