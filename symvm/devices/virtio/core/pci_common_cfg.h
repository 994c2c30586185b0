/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common configuration of virtio over PCI (VIRTIO 1.2, 4.1.4.3): the registers that the driver
 * reads and writes. The transport's lock guards them. It is never taken on the I/O loop's thread,
 * because resets wait for that thread with the lock held.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_PCI_COMMON_CFG_H
#define SYMVM_DEVICES_VIRTIO_CORE_PCI_COMMON_CFG_H

#include "devices/pci.h"
#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtqueue.h"
#include "machine/doorbell.h"

#define VIRTIO_REGISTERS_SIZE 0x38u
#define VIRTIO_ISR_QUEUE      0x1u

struct virtio_pci {
	struct virtio_transport transport;
	struct pci_function function;
	struct msix *msix;
	unsigned window;	      /* offset of the PCI access capability */
	_Atomic uint64_t notify_base; /* first doorbell's port; 0: nowhere. Set by the PCI bus */
	struct doorbell doorbells[VIRTIO_QUEUES_MAX]; /* one for each queue */
	_Atomic uint8_t isr;
	_Atomic uint16_t config_vector;
	_Atomic uint16_t vectors[VIRTIO_QUEUES_MAX];

	pthread_mutex_t lock; /* guards the members below, and the queues' setup */
	uint8_t status;
	bool resetting; /* the driver wrote 0, and requests are still under way */
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint64_t driver_features;
	uint16_t queue_select;
};

/* Whether the driver set DRIVER_OK. vCPUs are stopped. */
bool virtio_registers_driver_ok(struct virtio_pci *pci);
/*
 * Sets the registers back to power-on. The device is inactive. The lock is held, or nothing runs.
 */
void virtio_registers_reset(struct virtio_pci *pci);
/* Handles an access at @offset of the common configuration. vCPU threads. */
void virtio_registers_access(struct virtio_pci *pci, unsigned offset, void *data, unsigned length,
			     bool is_write);
/* Saves the registers. vCPUs are stopped, the device is quiesced. */
void virtio_registers_save(struct virtio_pci *pci, struct serialize_writer *writer);
/* Takes over saved registers. -EINVAL if no driver could have set them so. vCPUs are stopped. */
int virtio_registers_load(struct virtio_pci *pci, struct serialize_reader *reader);

#endif
