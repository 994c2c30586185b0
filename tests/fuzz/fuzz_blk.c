// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk's requests: any header, any parts, on a small file in memory. */
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/virtio/guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECTORS 64u
#define HEADERS 0x20000ull
#define DATA	0x40000ull

static struct guest *guest;
static struct virtio_device *device;
static int image_fd;

static void prepare(void)
{
	char argument[64];
	struct error err;

	guest = guest_create();
	atomic_store(&guest->vm.log.level, -1);
	image_fd = memfd_create("image", 0);
	snprintf(argument, sizeof(argument), "path=/proc/self/fd/%d", image_fd);
	if (ftruncate(image_fd, SECTORS * 512) < 0 ||
	    guest_device_create(guest, "disk", argument, &err) < 0)
		abort();
	device = guest_virtio(guest);
	mprotect(guest->vm.memory.regions[2].hva, GUEST_HIGH_SIZE, PROT_NONE);
}

static void drain(void)
{
	while (device->ops->busy(device))
		device->ops->wait(device, 1000);
}

static void desc_step(struct serialize_reader *script, struct ring *ring)
{
	static const uint64_t bases[] = {
		HEADERS,	 HEADERS, DATA,	       DATA, GUEST_RAM_SIZE - 512,
		GUEST_HIGH_BASE, 0x10000, GUEST_WINDOW};
	static const uint32_t lengths[] = {16, 1, 512, 1024, 4096, 20, 32, 513};
	uint8_t where = serialize_get_u8(script), at = serialize_get_u8(script), flags;
	uint64_t base = bases[where & 7] + serialize_get_u8(script);
	uint32_t length = lengths[where >> 3 & 7];

	if (where & 0x40)
		length = serialize_get_u16(script);
	flags = serialize_get_u8(script);
	ring_desc(ring, at & (GUEST_SIZE - 1), base, length, flags & 7,
		  (uint16_t)(at + (flags >> 3)) & (GUEST_SIZE - 1));
}

static void header_step(struct serialize_reader *script)
{
	uint8_t what = serialize_get_u8(script);
	uint8_t *at = guest_ram(guest, HEADERS + serialize_get_u8(script), 32);
	struct virtio_blk_outhdr header = {.type = what & 15, .sector = serialize_get_u8(script)};
	struct virtio_blk_discard_write_zeroes range = {.num_sectors = serialize_get_u8(script),
							.sector = header.sector,
							.flags = what >> 4 & 3};

	if (what & 0x40)
		header.sector = range.sector = serialize_get_u64(script);
	if (what & 0x80)
		range.num_sectors = serialize_get_u32(script);
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), &range, sizeof(range));
}

static void one_step(struct serialize_reader *script, struct ring *ring)
{
	uint8_t step = serialize_get_u8(script);

	switch (step & 3) {
	case 0:
		desc_step(script, ring);
		break;
	case 1:
		header_step(script);
		break;
	case 2:
		ring_offer(ring, step >> 2);
		break;
	default:
		virtio_queue_run(&device->queues[0]);
		drain();
		if (step == 0xff && ftruncate(image_fd, SECTORS * 256) < 0)
			abort();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serialize_reader script = {.data = data, .length = size};
	struct driver driver;
	struct ring ring;

	if (!guest)
		prepare();
	device->device.ops->reset(&device->device);
	if (ftruncate(image_fd, SECTORS * 512) < 0 || !driver_probe(guest, 1, &driver))
		abort();
	driver_negotiate(&driver, 1ull << VIRTIO_F_VERSION_1 | 3ull << VIRTIO_RING_F_INDIRECT_DESC);
	ring_setup(&driver, &ring, 0, 0x10000);
	driver_ok(&driver);
	while (script.status == 0 && script.offset < size)
		one_step(&script, &ring);
	virtio_queue_run(&device->queues[0]);
	drain();
	/* No request makes a disk longer. */
	if (lseek(image_fd, 0, SEEK_END) > SECTORS * 512)
		abort();
	return 0;
}
