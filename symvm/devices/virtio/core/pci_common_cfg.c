// SPDX-License-Identifier: BSD-2-Clause
/*
 * The registers of the common configuration: what each holds, what the driver may write in which
 * state, and their saved form. Each register has one width; an access of any other width is
 * ignored. DRIVER_OK starts the device, and a status of 0 resets it. The reset may have to wait for
 * the host's disk: the status then reads nonzero until the device has let go of guest memory.
 */
#include "devices/virtio/core/pci_common_cfg.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>

#include "devices/virtio/core/virtio_device.h"

#define STATUS_WRITABLE                                                                     \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

void virtio_registers_reset(struct virtio_pci *pci)
{
	pci->status = 0;
	pci->resetting = false;
	pci->device_feature_select = 0;
	pci->driver_feature_select = 0;
	pci->driver_features = 0;
	pci->queue_select = 0;
	atomic_store(&pci->isr, 0);
	atomic_store(&pci->config_vector, VIRTIO_MSI_NO_VECTOR);
	for (unsigned i = 0; i < VIRTIO_QUEUES_MAX; i++)
		atomic_store(&pci->vectors[i], VIRTIO_MSI_NO_VECTOR);
}

/* The driver's steps of 3.1.1. Bits are only added, except by writing 0. */
static void status_write(struct virtio_pci *pci, uint8_t value)
{
	struct virtio_device *device = pci->transport.device;
	uint8_t added = value & STATUS_WRITABLE & (uint8_t)~pci->status;

	if (value == 0) {
		pci->resetting = true;
		if (virtio_device_deactivate(device))
			virtio_registers_reset(pci);
		return;
	}
	if (added & VIRTIO_CONFIG_S_FEATURES_OK) {
		if ((pci->driver_features & ~device->features_offered) ||
		    !(pci->driver_features & 1ull << VIRTIO_F_VERSION_1))
			added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
		else
			device->features = pci->driver_features;
	}
	if (!((pci->status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	pci->status |= added;
	if (added & VIRTIO_CONFIG_S_DRIVER_OK)
		virtio_device_activate(device);
}

static uint8_t status_read(struct virtio_pci *pci)
{
	uint8_t failed = atomic_load(&pci->transport.device->failed) ? VIRTIO_CONFIG_S_NEEDS_RESET
								     : 0;

	return pci->status | failed;
}

static struct virtio_queue *selected_queue(struct virtio_pci *pci)
{
	if (pci->queue_select >= pci->transport.device->queue_count)
		return NULL;
	return &pci->transport.device->queues[pci->queue_select];
}

static uint16_t checked_vector(struct virtio_pci *pci, uint64_t value)
{
	return msix_eventfd(pci->msix, (unsigned)value) >= 0 ? (uint16_t)value
							     : VIRTIO_MSI_NO_VECTOR;
}

static uint64_t queue_read(struct virtio_pci *pci, unsigned offset, unsigned length)
{
	const struct virtio_queue *queue = selected_queue(pci);

	if (!queue)
		return offset == VIRTIO_PCI_COMMON_Q_MSIX ? VIRTIO_MSI_NO_VECTOR : 0;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return queue->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return atomic_load(&pci->vectors[queue->index]);
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return queue->enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return queue->index;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return queue->desc_gpa;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return queue->desc_gpa >> 32;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return queue->avail_gpa;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return queue->avail_gpa >> 32;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return queue->used_gpa;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return queue->used_gpa >> 32;
	default:
		return 0;
	}
}

/* Sets half of a ring's address, or all of it if @length is 8. */
static void address_write(uint64_t *address, bool high, uint64_t value, unsigned length)
{
	if (length == 8)
		*address = value;
	else if (high)
		*address = (*address & 0xffffffffull) | value << 32;
	else
		*address = (*address & ~0xffffffffull) | (uint32_t)value;
}

static void queue_write(struct virtio_pci *pci, unsigned offset, uint64_t value, unsigned length)
{
	struct virtio_queue *queue = selected_queue(pci);

	if (!queue)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_MSIX) {
		atomic_store(&pci->vectors[queue->index], checked_vector(pci, value));
		return;
	}
	/* An enabled queue stays as it is until the device's reset (4.1.4.3.2). */
	if (queue->enabled || (pci->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		queue->size = (uint16_t)value;
		break;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		queue->enabled = value == 1;
		break;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		address_write(&queue->desc_gpa, offset & 4, value, length);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		address_write(&queue->avail_gpa, offset & 4, value, length);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		address_write(&queue->used_gpa, offset & 4, value, length);
		break;
	}
}

/* The width of the common configuration's register at @offset; 0 if none starts there. */
static unsigned common_width(unsigned offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_STATUS:
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return 1;
	case VIRTIO_PCI_COMMON_MSIX:
	case VIRTIO_PCI_COMMON_NUMQ:
	case VIRTIO_PCI_COMMON_Q_SELECT:
	case VIRTIO_PCI_COMMON_Q_SIZE:
	case VIRTIO_PCI_COMMON_Q_MSIX:
	case VIRTIO_PCI_COMMON_Q_ENABLE:
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return 2;
	default:
		return offset % 4 ? 0 : 4;
	}
}

static bool common_is_address(unsigned offset)
{
	return offset == VIRTIO_PCI_COMMON_Q_DESCLO || offset == VIRTIO_PCI_COMMON_Q_AVAILLO ||
	       offset == VIRTIO_PCI_COMMON_Q_USEDLO;
}

static uint64_t common_read(struct virtio_pci *pci, unsigned offset, unsigned length)
{
	struct virtio_device *device = pci->transport.device;
	uint64_t value;

	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return pci->device_feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return pci->device_feature_select > 1
			       ? 0
			       : device->features_offered >> 32 * pci->device_feature_select;
	case VIRTIO_PCI_COMMON_GFSELECT:
		return pci->driver_feature_select;
	case VIRTIO_PCI_COMMON_GF:
		return pci->driver_feature_select > 1
			       ? 0
			       : pci->driver_features >> 32 * pci->driver_feature_select;
	case VIRTIO_PCI_COMMON_MSIX:
		return atomic_load(&pci->config_vector);
	case VIRTIO_PCI_COMMON_NUMQ:
		return device->queue_count;
	case VIRTIO_PCI_COMMON_STATUS:
		return status_read(pci);
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		pthread_mutex_lock(&device->config_lock);
		value = device->config_generation;
		pthread_mutex_unlock(&device->config_lock);
		return value;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return pci->queue_select;
	default:
		return queue_read(pci, offset, length);
	}
}

static void common_write(struct virtio_pci *pci, unsigned offset, uint64_t value, unsigned length)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		pci->device_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		pci->driver_feature_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		if (pci->status & VIRTIO_CONFIG_S_FEATURES_OK)
			break;
		if (pci->driver_feature_select == 0)
			address_write(&pci->driver_features, false, value, 4);
		else if (pci->driver_feature_select == 1)
			address_write(&pci->driver_features, true, value, 4);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		atomic_store(&pci->config_vector, checked_vector(pci, value));
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		status_write(pci, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		pci->queue_select = (uint16_t)value;
		break;
	default:
		queue_write(pci, offset, value, length);
		break;
	}
}

void virtio_registers_access(struct virtio_pci *pci, unsigned offset, void *data, unsigned length,
			     bool is_write)
{
	uint64_t value = 0;

	/* 4.1.3.1: registers are accessed at their own width, and addresses by halves or whole. */
	if (offset + length > VIRTIO_REGISTERS_SIZE ||
	    (length != common_width(offset) && !(length == 8 && common_is_address(offset))))
		return;
	pthread_mutex_lock(&pci->lock);
	/* The driver waits until status reads 0 (4.1.4.3.2), and sets up nothing before that. */
	if (pci->resetting && !atomic_load(&pci->transport.device->quiesced_for_reset))
		virtio_registers_reset(pci);
	if (is_write && pci->resetting) {
		pthread_mutex_unlock(&pci->lock);
		return;
	}
	if (is_write) {
		memcpy(&value, data, length);
		common_write(pci, offset, value, length);
	} else {
		value = common_read(pci, offset, length);
		memcpy(data, &value, length);
	}
	pthread_mutex_unlock(&pci->lock);
}

bool virtio_registers_driver_ok(struct virtio_pci *pci)
{
	return pci->status & VIRTIO_CONFIG_S_DRIVER_OK;
}

void virtio_registers_save(struct virtio_pci *pci, struct serialize_writer *writer)
{
	struct virtio_device *device = pci->transport.device;

	pthread_mutex_lock(&pci->lock);
	serialize_put_u8(writer, pci->status);
	serialize_put_u8(writer, atomic_load(&pci->isr));
	serialize_put_u32(writer, pci->device_feature_select);
	serialize_put_u32(writer, pci->driver_feature_select);
	serialize_put_u64(writer, pci->driver_features);
	serialize_put_u16(writer, pci->queue_select);
	serialize_put_u16(writer, atomic_load(&pci->config_vector));
	for (unsigned i = 0; i < device->queue_count; i++)
		serialize_put_u16(writer, atomic_load(&pci->vectors[i]));
	pthread_mutex_unlock(&pci->lock);
}

static int registers_load(struct virtio_pci *pci, struct serialize_reader *reader)
{
	uint16_t vector;

	pci->status = serialize_get_u8(reader);
	atomic_store(&pci->isr,
		     serialize_get_u8(reader) & (VIRTIO_ISR_QUEUE | VIRTIO_PCI_ISR_CONFIG));
	pci->device_feature_select = serialize_get_u32(reader);
	pci->driver_feature_select = serialize_get_u32(reader);
	pci->driver_features = serialize_get_u64(reader);
	pci->queue_select = serialize_get_u16(reader);
	vector = serialize_get_u16(reader);
	atomic_store(&pci->config_vector, checked_vector(pci, vector));
	for (unsigned i = 0; i < pci->transport.device->queue_count; i++) {
		vector = serialize_get_u16(reader);
		atomic_store(&pci->vectors[i], checked_vector(pci, vector));
	}
	if (reader->status < 0 || (pci->status & ~STATUS_WRITABLE) ||
	    ((pci->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	     !(pci->status & VIRTIO_CONFIG_S_FEATURES_OK)))
		return -EINVAL;
	return 0;
}

int virtio_registers_load(struct virtio_pci *pci, struct serialize_reader *reader)
{
	int status;

	pthread_mutex_lock(&pci->lock);
	status = registers_load(pci, reader);
	pthread_mutex_unlock(&pci->lock);
	return status;
}
