/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the driver reaches a virtio device: its registers, notifications and interrupts. A device and
 * its queues know a transport only by its ops. So another transport (virtio-mmio, a test's) is one
 * file that registers itself.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_TRANSPORT_H
#define SYMVM_DEVICES_VIRTIO_CORE_TRANSPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "util/error.h"
#include "util/registry.h"

struct serialize_reader;
struct serialize_writer;
struct virtio_device;
struct virtio_transport;

struct virtio_transport_ops {
	const char *name; /* "pci" */
	/*
	 * Shows @device, which has its queues and its config space, to the guest, and sets
	 * device->transport. Main thread. -errno with words; nothing is left on failure.
	 */
	int (*create)(struct virtio_device *device, struct error *err);
	/* Hides the device from the guest and frees @transport. Main thread, nothing runs. */
	void (*destroy)(struct virtio_transport *transport);
	/* Raises the interrupt of queue number @queue. Loop thread. */
	void (*interrupt)(struct virtio_transport *transport, unsigned queue);
	/* Raises the config change interrupt. Any thread. */
	void (*config_interrupt)(struct virtio_transport *transport);
	/*
	 * The eventfd that raises the interrupt of queue number @queue when written; -1 if there is
	 * none. The transport owns it. Loop thread.
	 */
	int (*call_fd)(struct virtio_transport *transport, unsigned queue);
	/*
	 * Sets the registers back to power-on. The device is inactive already. vCPUs are stopped.
	 */
	void (*reset)(struct virtio_transport *transport);
	/* Saves the registers. vCPUs are stopped, the device is quiesced. 0 or -errno. */
	int (*save)(struct virtio_transport *transport, struct serialize_writer *writer);
	/* Takes over registers; -EINVAL if no driver could have brought them there. */
	int (*load)(struct virtio_transport *transport, struct serialize_reader *reader);
	/* Whether the driver's DRIVER_OK is set, so that a loaded device must be activated. */
	bool (*driver_ok)(struct virtio_transport *transport);
	/* Optional: adds how the driver notifies queues, for `symvm info`. Any thread. */
	void (*describe)(struct virtio_transport *transport, json_t *object);
};

/* Embedded in each transport's own structure. */
struct virtio_transport {
	const struct virtio_transport_ops *ops;
	struct virtio_device *device;
};

/* A program has one transport: devices take the first. */
#define VIRTIO_TRANSPORT(object) \
	REGISTRY_ENTRY(symvm_virtio_transports, struct virtio_transport_ops, object)

/*
 * For transports: starts the enabled queues and the device, or stops them. Runs on the I/O loop's
 * thread, or waits for it: the caller holds no lock that the loop's callbacks take.
 */
void virtio_device_activate(struct virtio_device *device);
/* False if requests are under way that the host has not completed: call it again. */
bool virtio_device_deactivate(struct virtio_device *device);

#endif
