// SPDX-License-Identifier: BSD-2-Clause
/*
 * A hostile guest at a virtio function's registers, config space, MSI-X table and
 * queues: any access in any order, rings with any contents, saved states with any bytes. The
 * device copies the bytes that it reads back into the buffers that it may write.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../unit/virtio/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUES 2u
#define DATA   0x40000ull

static struct guest *guest;
static struct virtio_device *device;

static void copier_notified(struct virtio_device *self, struct virtio_queue *queue)
{
	struct iovec iov[GUEST_SIZE];
	struct virtio_chain chain = {.iov = iov, .iov_max = GUEST_SIZE};
	uint8_t data[512];
	unsigned taken = 0;

	do {
		virtio_queue_notify_disable(queue);
		while (virtio_queue_pop(queue, &chain) > 0) {
			size_t length;

			/* Some requests come back once, as with a full receive queue. */
			if (++taken % 7 == 0) {
				virtio_queue_unpop(queue, 1);
				continue;
			}
			length = virtio_chain_read(&chain, taken % 3, data, sizeof(data));
			length = virtio_chain_write(&chain, taken % 5, data, length);
			virtio_queue_push(queue, &chain, (uint32_t)length);
		}
		virtio_queue_flush(queue);
	} while (virtio_queue_notify_enable(queue));
}

static void copier_destroy(struct virtio_device *self)
{
	free(self);
}

static const struct virtio_ops copier_ops = {
	.name = "virtio-copier",
	.id = 61,
	.class_code = 0xff0000,
	.version = 1,
	.notified = copier_notified,
	.destroy = copier_destroy,
};

static const struct virtio_device_config copier_config = {
	.ops = &copier_ops,
	.name = "copier",
	.features = 0x30,
	.queue_count = QUEUES,
	.queue_size = GUEST_SIZE,
	.space = "0123456789abcdef",
	.space_size = 16,
};

static void prepare(void)
{
	struct error err;

	guest = guest_create();
	atomic_store(&guest->vm.log.level, -1);
	device = calloc(1, sizeof(*device));
	if (!device || virtio_device_create(&guest->vm, device, &copier_config, &err) < 0)
		abort();
	/* Guest-physical, but not RAM: no device may touch it. */
	mprotect(guest->vm.memory.regions[2].hva, GUEST_HIGH_SIZE, PROT_NONE);
}

static void bring_up(struct ring *ring, uint64_t features)
{
	static struct driver driver; /* the ring keeps a pointer to it */

	if (!driver_probe(guest, 1, &driver))
		abort();
	driver_reset(&driver);
	driver_msix_enable(&driver, QUEUES + 1);
	driver_negotiate(&driver, features | 1ull << VIRTIO_F_VERSION_1);
	for (unsigned i = 0; i < QUEUES; i++)
		ring_setup(&driver, ring, i, 0x10000 + 0x2000 * i);
	driver_ok(&driver);
}

/* An access to the current place of the BARs, or to a config register. */
static void access_step(struct serialize_reader *script)
{
	struct bus *bus = &guest->vm.mmio;
	uint8_t what = serialize_get_u8(script);
	unsigned length = 1u << (what >> 6);
	uint64_t value = serialize_get_u64(script), address = serialize_get_u16(script);

	switch (what & 3) {
	case 0:
		address += PCI_ECAM_BASE + 0x8000;
		break;
	case 1:
		address = (address & 0x3fff) + PCI_MMIO_BASE;
		break;
	case 2:
		address = (address & 0x3f) + PCI_MMIO_BASE; /* common configuration */
		break;
	default:
		address = PCI_PIO_BASE + (address & 0xf);
		bus = &guest->vm.pio;
		break;
	}
	bus_dispatch(bus, address, &value, length, what & 4);
}

static void desc_step(struct serialize_reader *script)
{
	uint8_t where = serialize_get_u8(script), at = serialize_get_u8(script);
	struct vring_desc *desc = guest_ram(guest, 0x10000 + 0x2000 * (where & 1) + 16 * (at & 63),
					    16);
	static const uint64_t bases[] = {
		DATA,	      0x10000,	     GUEST_RAM_SIZE - 64, GUEST_HIGH_BASE - 8,
		GUEST_WINDOW, PCI_MMIO_BASE, UINT64_MAX - 16,	  0x20000};

	if (where & 2)
		desc = guest_ram(guest, 0x20000 + 16 * at, 16); /* an indirect table */
	desc->addr = bases[where >> 5] + serialize_get_u8(script);
	desc->len = serialize_get_u16(script);
	if (where & 4)
		desc->len = (desc->len & 15) * 16;
	desc->flags = serialize_get_u8(script) & 7;
	desc->next = serialize_get_u8(script) & 0x7f;
}

static void state_step(struct serialize_reader *script)
{
	struct serialize_writer writer = {0};
	struct serialize_reader reader;
	uint16_t at = serialize_get_u16(script);
	uint8_t change = serialize_get_u8(script);

	device->device.ops->save(&device->device, &writer);
	if (at < writer.length)
		writer.data[at] ^= change;
	reader = (struct serialize_reader){.data = writer.data,
					   .length = writer.length - (change & 1)};
	device->device.ops->load(&device->device, &reader, 1);
	serialize_writer_free(&writer);
}

static void one_step(struct serialize_reader *script, struct ring *ring)
{
	uint8_t step = serialize_get_u8(script);

	switch (step & 7) {
	case 0:
	case 1:
		access_step(script);
		break;
	case 2:
	case 3:
		desc_step(script);
		break;
	case 4:
		ring_offer(ring, serialize_get_u8(script) & 0x7f);
		break;
	case 5:
		/* Any bytes into the rings, indices and event indices included. */
		serialize_get_bytes(
			script, guest_ram(guest, 0x10000 + (serialize_get_u16(script) & 0x3ff8), 8),
			8);
		break;
	case 6:
		if (step & 0x80)
			state_step(script);
		else
			bring_up(ring,
				 (step & 0x40 ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
					 (step & 0x20 ? 1ull << VIRTIO_RING_F_INDIRECT_DESC : 0));
		break;
	default:
		for (unsigned i = 0; i < QUEUES; i++)
			virtio_queue_run(&device->queues[i]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serialize_reader script = {.data = data, .length = size};
	struct ring ring;

	if (!guest)
		prepare();
	device->device.ops->reset(&device->device);
	bring_up(&ring, 3ull << VIRTIO_RING_F_INDIRECT_DESC);
	while (script.status == 0 && script.offset < size)
		one_step(&script, &ring);
	return 0;
}
