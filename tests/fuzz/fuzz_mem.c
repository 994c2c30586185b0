// SPDX-License-Identifier: BSD-2-Clause
/* virtio-mem's requests: any request, any parts, its own memory among them. */
#include <linux/kvm.h>
#include <linux/virtio_mem.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../unit/virtio/guest.h"
#include "devices/virtio/mem.h"
#include "memory/memory_plug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB	 (1ull << 20)
#define REQUESTS 0x20000ull
#define ANSWERS	 0x40000ull

static struct guest *guest;
static struct virtio_device *device;
static struct memory_region *region;

/* Stands in for KVM: it accepts memslots. */
int ioctl(int fd, unsigned long request, ...)
{
	if (request == KVM_SET_USER_MEMORY_REGION)
		return 0;
	errno = EBADF;
	return -1;
}

static void prepare(void)
{
	struct error err;

	guest = guest_create();
	atomic_store(&guest->vm.log.level, -1);
	guest->vm.config.memory = (struct memory_config){.size = 16 * MIB, .max = 64 * MIB};
	if (memory_plug_create(&guest->vm.memory, &guest->vm.config.memory, &err) < 0 ||
	    guest_device_create(guest, NULL, NULL, &err) < 0)
		abort();
	device = guest_virtio(guest);
	region = memory_plug_region(&guest->vm.memory);
}

static void desc_step(struct serialize_reader *script, struct ring *ring)
{
	const uint64_t bases[] = {REQUESTS,	      ANSWERS,	   REQUESTS + 64,
				  ANSWERS + 64,	      region->gpa, region->gpa + 2 * MIB,
				  GUEST_RAM_SIZE - 8, GUEST_WINDOW};
	static const uint32_t lengths[] = {sizeof(struct virtio_mem_req),
					   sizeof(struct virtio_mem_resp), 1, 4096};
	uint8_t where = serialize_get_u8(script), at = serialize_get_u8(script);

	ring_desc(ring, at & (GUEST_SIZE - 1), bases[where & 7], lengths[where >> 3 & 3],
		  where >> 5, (uint16_t)(at + 1) & (GUEST_SIZE - 1));
}

static void request_step(struct serialize_reader *script)
{
	uint8_t what = serialize_get_u8(script), block = serialize_get_u8(script);
	struct virtio_mem_req request = {
		.type = what & 7,
		.u.plug = {.addr = region->gpa + (block & 63) * 2 * MIB,
			   .nb_blocks = serialize_get_u8(script) & 31},
	};

	if (what & 0x40)
		request.u.plug.addr = serialize_get_u64(script);
	if (what & 0x80)
		request.u.plug.nb_blocks = serialize_get_u16(script);
	memcpy(guest_ram(guest, REQUESTS + (what & 8) * 8, sizeof(request)), &request,
	       sizeof(request));
}

static void one_step(struct serialize_reader *script, struct ring *ring)
{
	uint8_t step = serialize_get_u8(script);

	switch (step & 3) {
	case 0:
		desc_step(script, ring);
		break;
	case 1:
		request_step(script);
		break;
	case 2:
		ring_offer(ring, step >> 2);
		break;
	default:
		virtio_mem_request(&guest->vm, (step >> 2) * MIB);
		virtio_queue_run(&device->queues[0]);
		break;
	}
}

/*
 * The plugged memory is what the counters and the mapping show, and never more than was ever
 * requested.
 */
static void check(void)
{
	uint64_t block = region->blocks->block_size, plugged = 0;

	for (uint64_t at = 0; at < region->size; at += block) {
		uint8_t *hva = memory_translate(&guest->vm.memory, region->gpa + at, block);

		if (!hva)
			continue;
		*(volatile uint8_t *)hva = 1;
		plugged += block;
	}
	if (plugged != atomic_load(&region->blocks->plugged) || plugged > 48 * MIB)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serialize_reader script = {.data = data, .length = size};
	struct driver driver;
	struct ring ring;

	if (!guest)
		prepare();
	device->device.ops->reset(&device->device);
	if (!driver_probe(guest, 1, &driver))
		abort();
	driver_negotiate(&driver, 1ull << VIRTIO_F_VERSION_1 |
					  1ull << VIRTIO_MEM_F_UNPLUGGED_INACCESSIBLE |
					  3ull << VIRTIO_RING_F_INDIRECT_DESC);
	ring_setup(&driver, &ring, 0, 0x10000);
	driver_ok(&driver);
	while (script.status == 0 && script.offset < size)
		one_step(&script, &ring);
	virtio_queue_run(&device->queues[0]);
	check();
	return 0;
}
