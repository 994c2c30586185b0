// SPDX-License-Identifier: BSD-2-Clause
#include "virtio.h"

#define CAP_COMMON 1
#define CAP_NOTIFY 2
#define CAP_ISR	   3
#define CAP_CONFIG 4

/* One device with queues at a time is enough. Further ones use the same memory. */
static struct queue_memory memory[VIRTIO_QUEUES];

static void capabilities_read(struct virtio *device)
{
	unsigned at = 0;

	while ((at = pci_capability(device->slot, PCI_CAP_OWN, at)) != 0) {
		uint8_t type = read8(pci_ecam(device->slot, at + 3));
		uint8_t bar = read8(pci_ecam(device->slot, at + 4));
		uint64_t address;

		if (bar > 5)
			continue;
		address = pci_bar(device->slot, bar) + pci_read(device->slot, at + 8);
		if (type == CAP_COMMON)
			device->common = address;
		else if (type == CAP_NOTIFY)
			device->notify = address;
		else if (type == CAP_ISR)
			device->isr = address;
		else if (type == CAP_CONFIG)
			device->config = address;
	}
	device->msix = pci_capability(device->slot, PCI_CAP_MSIX, 0);
	if (device->msix) {
		uint32_t table = pci_read(device->slot, device->msix + 4);
		uint32_t pending = pci_read(device->slot, device->msix + 8);

		device->table = pci_bar(device->slot, table & 7) + (table & ~7u);
		device->pending = pci_bar(device->slot, pending & 7) + (pending & ~7u);
	}
}

bool virtio_find(struct virtio *device, unsigned type, unsigned nth)
{
	int slot = pci_find((0x1040u + type) << 16 | 0x1af4, nth);

	memset(device, 0, sizeof(*device));
	if (slot < 0)
		return false;
	device->slot = (unsigned)slot;
	device->type = type;
	pci_write(device->slot, PCI_COMMAND,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	capabilities_read(device);
	device->queue_count = read16(device->common + COMMON_QUEUES);
	return device->common != 0 && device->notify != 0;
}

void virtio_reset(struct virtio *device)
{
	write8(device->common + COMMON_STATUS, 0);
	while (read8(device->common + COMMON_STATUS))
		pause();
}

static uint64_t features_offered(struct virtio *device)
{
	uint64_t features;

	write32(device->common + COMMON_DEVICE_SELECT, 1);
	features = (uint64_t)read32(device->common + COMMON_DEVICE_FEATURE) << 32;
	write32(device->common + COMMON_DEVICE_SELECT, 0);
	return features | read32(device->common + COMMON_DEVICE_FEATURE);
}

static void queue_start(struct virtio *device, unsigned index)
{
	struct virtio_queue *queue = &device->queues[index];
	uint16_t size;

	write16(device->common + COMMON_QUEUE_SELECT, (uint16_t)index);
	size = read16(device->common + COMMON_QUEUE_SIZE);
	queue->size = size > QUEUE_ENTRIES ? QUEUE_ENTRIES : size;
	queue->seen = 0;
	queue->port = (uint16_t)(device->notify +
				 4u * read16(device->common + COMMON_QUEUE_NOTIFY));
	queue->memory = &memory[index];
	memset(&memory[index], 0, sizeof(memory[index]));
	write16(device->common + COMMON_QUEUE_SIZE, queue->size);
	write64(device->common + COMMON_QUEUE_DESC, (uint64_t)memory[index].table);
	write64(device->common + COMMON_QUEUE_AVAIL, (uint64_t)&memory[index].available);
	write64(device->common + COMMON_QUEUE_USED, (uint64_t)&memory[index].used);
	write16(device->common + COMMON_QUEUE_ENABLE, 1);
}

bool virtio_start(struct virtio *device, uint64_t features)
{
	virtio_reset(device);
	write8(device->common + COMMON_STATUS, STATUS_ACKNOWLEDGE);
	write8(device->common + COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	device->features = features_offered(device) & (features | FEATURE_VERSION_1);
	write32(device->common + COMMON_DRIVER_SELECT, 0);
	write32(device->common + COMMON_DRIVER_FEATURE, (uint32_t)device->features);
	write32(device->common + COMMON_DRIVER_SELECT, 1);
	write32(device->common + COMMON_DRIVER_FEATURE, (uint32_t)(device->features >> 32));
	write8(device->common + COMMON_STATUS,
	       STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	if (!(read8(device->common + COMMON_STATUS) & STATUS_FEATURES_OK))
		return false;
	for (unsigned i = 0; i < device->queue_count && i < VIRTIO_QUEUES; i++)
		queue_start(device, i);
	write8(device->common + COMMON_STATUS,
	       STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	return read8(device->common + COMMON_STATUS) ==
	       (STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

void virtio_msix_set(struct virtio *device, unsigned index, uint8_t vector, bool masked)
{
	uint64_t entry = device->table + 16 * index;

	write32(entry, 0xfee00000u | apic_id() << 12);
	write32(entry + 4, 0);
	write32(entry + 8, vector);
	write32(entry + 12, masked);
	write16(pci_ecam(device->slot, device->msix + 2), 0x8000);
}

void virtio_queue_kick(struct virtio *device, unsigned queue)
{
	barrier();
	out16(device->queues[queue].port, (uint16_t)queue);
}

void virtio_queue_add(struct virtio *device, unsigned index, const struct part *parts,
		      unsigned count)
{
	struct virtio_queue *queue = &device->queues[index];
	volatile struct queue_memory *m = queue->memory;
	uint16_t next = m->available.index;

	for (unsigned i = 0; i < count; i++) {
		m->table[i].address = (uint64_t)parts[i].data;
		m->table[i].length = parts[i].length;
		m->table[i].flags = (uint16_t)((parts[i].write ? DESC_WRITE : 0) |
					       (i + 1 < count ? DESC_NEXT : 0));
		m->table[i].next = (uint16_t)(i + 1);
	}
	m->available.ring[next % queue->size] = 0;
	barrier();
	m->available.index = (uint16_t)(next + 1);
	virtio_queue_kick(device, index);
}

int64_t virtio_queue_wait(struct virtio *device, unsigned index)
{
	struct virtio_queue *queue = &device->queues[index];
	volatile struct used *used = &queue->memory->used;
	uint64_t end = tsc() + 5000 * tsc_per_ms();

	while (used->index == queue->seen)
		if (tsc() > end)
			return -1;
	return used->ring[queue->seen++ % queue->size].length;
}

int64_t virtio_request(struct virtio *device, unsigned queue, const struct part *parts,
		       unsigned count)
{
	virtio_queue_add(device, queue, parts, count);
	return virtio_queue_wait(device, queue);
}
