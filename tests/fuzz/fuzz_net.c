// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-net with a hostile driver: any descriptors, rings that lie, frames of any length
 * in both directions. The back end only reads each byte.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/net/driver.h"
#include "devices/virtio/net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct net_backend sink;

/* A copy makes the sanitizer look at each byte. A loop over the bytes took most of the time. */
static void sink_send(struct net_backend *backend, const uint8_t *frame, size_t length)
{
	static uint8_t copy[NET_FRAME_MAX];

	if (length < NET_FRAME_MIN || length > NET_FRAME_MAX)
		abort();
	memcpy(copy, frame, length);
	__asm__ volatile("" : : "r"(copy) : "memory"); /* the compiler must not leave it out */
}

static void sink_nothing(struct net_backend *backend)
{
}

static const struct net_backend_ops sink_ops = {
	.send = sink_send,
	.resume = sink_nothing,
	.destroy = sink_nothing,
};

static int sink_create(struct vm *vm, const char *argument, struct net_parameters *parameters,
		       struct net_backend **backend, struct error *err)
{
	sink.ops = &sink_ops;
	*backend = &sink;
	return net_parse_mac("02:00:00:00:00:01", parameters, err);
}

static const struct net_backend_class sink_class = {.name = "sink", .create = sink_create};
NET_BACKEND_CLASS(sink_class);

static void one_step(struct serialize_reader *script)
{
	static uint8_t frame[NET_FRAME_MAX];
	uint8_t step = serialize_get_u8(script);
	unsigned queue = step & 1;
	struct vring_desc desc;

	switch (step >> 1 & 7) {
	case 0:
	case 1:
		desc.addr = 0x100000 + (serialize_get_u32(script) & (2 * DRIVER_RAM - 1));
		desc.len = serialize_get_u32(script) & 0x1ffff;
		desc.flags = serialize_get_u8(script) & 7;
		desc.next = serialize_get_u8(script);
		driver_descriptor(queue, serialize_get_u8(script), desc);
		break;
	case 2:
	case 3:
		driver_make_available(queue, serialize_get_u8(script));
		break;
	case 4:
		driver_kick(queue);
		break;
	case 5:
		net_receive(sink.net, NULL, frame, serialize_get_u32(script) % (NET_FRAME_MAX + 1));
		net_receive_flush(sink.net);
		break;
	case 6:
		driver_reset();
		driver_start(serialize_get_u64(script));
		break;
	default:
		/* Rings hold whatever the driver likes. */
		serialize_get_bytes(script, driver.ram + (serialize_get_u8(script) * 16u), 16);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct serialize_reader script = {.data = data, .length = size};

	driver_keeps_ram = true;
	if (driver_create("net", "sink"))
		abort();
	driver.vm.log.level = -1;
	driver_start(serialize_get_u64(&script));
	while (script.status == 0 && script.offset < size)
		one_step(&script);
	driver_destroy();
	return 0;
}
