/* SPDX-License-Identifier: BSD-2-Clause */
/* Between device.c, what all virtio devices share, and pci.c, how the driver reaches them. */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_TRANSPORT_H
#define SYMVM_DEVICES_VIRTIO_CORE_TRANSPORT_H

#include "devices/virtio/core/virtio.h"

/* Makes @device a PCI function; device->transport. Main thread. Nothing is left on failure. */
int virtio_transport_create(struct virtio_device *device, struct error *err);
/* Takes the function off its bus. Main thread, nothing runs. */
void virtio_transport_destroy(struct virtio_device *device);
/* Registers and PCI state back to power-on; the device is inactive already. */
void virtio_transport_reset(struct virtio_device *device);
int virtio_transport_save(struct virtio_device *device, struct serialize_writer *writer);
/* Sets registers, features and queues (enabled, size, addresses); -EINVAL. */
int virtio_transport_load(struct virtio_device *device, struct serialize_reader *reader);
/* Whether the driver's DRIVER_OK stands, so that a loaded device is to be activated. */
bool virtio_transport_driver_ok(struct virtio_device *device);

/*
 * Starts the enabled queues and the device, or stops them. On the I/O loop's thread, or
 * waits for it: the caller holds no lock that the loop's callbacks take.
 */
void virtio_device_activate(struct virtio_device *device);
/* False where requests are under way that the host has not completed: to be called again. */
bool virtio_device_deactivate(struct virtio_device *device);

#endif
