/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the parts of all virtio devices: creation (virtio_device_create.c), saved state
 * (virtio_device_state.c) and life (virtio_device.c). Each part uses only those after it.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_VIRTIO_DEVICE_INTERNAL_H
#define SYMVM_DEVICES_VIRTIO_CORE_VIRTIO_DEVICE_INTERNAL_H

#include "devices/virtio/core/virtio_device.h"
#include "util/container_of.h"

/* A queue as it is saved. */
struct virtio_queue_state {
	uint8_t enabled;
	uint16_t size, avail_next, used_next;
	uint64_t desc_gpa, avail_gpa, used_gpa;
};

static inline struct virtio_device *virtio_device_of(struct device *device)
{
	return container_of(device, struct virtio_device, device);
}

/* device_ops of every virtio device; contracts: machine/device.h. */
bool virtio_device_op_quiesce(struct device *device);
void virtio_device_op_reset(struct device *device);
void virtio_device_op_resume(struct device *device);
int virtio_device_op_save(struct device *device, struct serialize_writer *writer);
int virtio_device_op_load(struct device *device, struct serialize_reader *reader, uint32_t version);

/*
 * Quiesces @device for a save, until it is resumed. -EBUSY if the host does not complete its
 * requests within some seconds. Waits for the I/O loop; not on its thread.
 */
int virtio_device_quiesce(struct virtio_device *device);

#endif
