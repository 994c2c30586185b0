// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk: write, flush, read back, bounds, and a request that breaks the rules. */
#include "virtio.h"

#define SECTORS 8

struct header {
	uint32_t type, reserved;
	uint64_t sector;
};

static uint8_t data[SECTORS * 512] __attribute__((aligned(16)));
static volatile uint8_t status;

static int request(struct virtio *device, uint32_t type, uint64_t sector, uint32_t length,
		   bool write)
{
	static struct header header;
	const struct part parts[] = {
		{&header, sizeof(header), false}, {data, length, write}, {&status, 1, true}};
	const struct part bare[] = {parts[0], parts[2]};

	header = (struct header){.type = type, .sector = sector};
	status = 0xee;
	if (virtio_request(device, 0, length ? parts : bare, length ? 3 : 2) < 0)
		return -1;
	return status;
}

static bool pattern(bool fill)
{
	for (unsigned i = 0; i < sizeof(data); i++) {
		uint8_t want = (uint8_t)(i * 7 + i / 512);

		if (fill)
			data[i] = want;
		else if (data[i] != want)
			return false;
	}
	return true;
}

static void misuse(struct virtio *device)
{
	volatile struct queue_memory *m = device->queues[0].memory;

	m->table[0].address = 0xfffffffffffff000ull;
	m->table[0].length = 0x2000;
	m->table[0].flags = 0;
	m->available.ring[m->available.index % device->queues[0].size] = 0;
	barrier();
	m->available.index++;
	virtio_queue_kick(device, 0);
	for (unsigned i = 0;
	     i < 500 && !(read8(device->common + COMMON_STATUS) & STATUS_NEEDS_RESET); i++)
		delay_us(10000);
	check(read8(device->common + COMMON_STATUS) & STATUS_NEEDS_RESET,
	      "a bad address makes the device need a reset");
	check(virtio_start(device, 0), "after it the driver starts again");
	check(request(device, 0, 16, sizeof(data), true) == 0, "and reads");
}

static void blk(void)
{
	struct virtio device;
	uint64_t sectors;

	if (!check(virtio_find(&device, VIRTIO_BLOCK, 0), "virtio-blk is there") ||
	    !check(virtio_start(&device, ~(3ull << 28)), "its driver starts"))
		return;
	sectors = read32(device.config) | (uint64_t)read32(device.config + 4) << 32;
	check(sectors == option_number("sectors", 0), "%lu sectors", sectors);
	pattern(true);
	check(request(&device, 1, 16, sizeof(data), false) == 0, "write");
	check(request(&device, 4, 0, 0, false) == 0, "flush");
	memset(data, 0, sizeof(data));
	check(request(&device, 0, 16, sizeof(data), true) == 0, "read");
	check(pattern(false), "the data came back");
	check(request(&device, 0, sectors - 1, 512, true) == 0, "the last sector");
	check(request(&device, 0, sectors, 512, true) == 1, "beyond the end: an I/O error");
	check(request(&device, 1, ~0ull, 512, false) == 1, "at the end of the world, too");
	check(request(&device, 0xdead, 0, 512, true) == 2, "an unknown type is not supported");
	misuse(&device);
	check(pattern(false), "the data came back again");
}
TEST("virtio-blk", blk);
