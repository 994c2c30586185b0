// SPDX-License-Identifier: BSD-2-Clause
/* BAR 1 of every device: common configuration, ISR, device config, MSI-X; and notify ports. */
#include "hostile.h"

static void notify(struct hostile *hostile, const struct virtio *virtio)
{
	uint16_t port = (uint16_t)(virtio->notify +
				   random_below(hostile, 4 * virtio->queue_count + 8));
	uint32_t value = (uint32_t)hostile_value(hostile);

	switch (random_below(hostile, 4)) {
	case 0:
		out8(port, (uint8_t)value);
		break;
	case 1:
		out16(port, (uint16_t)value);
		break;
	case 2:
		out32(port, value);
		break;
	default:
		(void)in32(port);
	}
}

static unsigned pick_offset(struct hostile *hostile)
{
	switch (random_below(hostile, 8)) {
	case 0: /* anywhere, also in the next device's page */
		return (unsigned)random_below(hostile, 0x4010);
	case 1:
		return 0x2000 + (unsigned)random_below(hostile, 80);
	case 2:
		return 0x3000 + (unsigned)random_below(hostile, 16 * 8);
	case 3:
		return 0x3800 + (unsigned)random_below(hostile, 16);
	case 4:
		return 0x1000 + (unsigned)random_below(hostile, 4);
	default:
		return (unsigned)random_below(hostile, COMMON_SIZE + 4) & ~1u;
	}
}

void attack_registers(struct hostile *hostile)
{
	const struct virtio *virtio;
	unsigned offset, width;

	if (!target_count)
		return;
	virtio = &targets[random_below(hostile, target_count)].virtio;
	if (random_one_in(hostile, 4)) {
		notify(hostile, virtio);
		return;
	}
	offset = pick_offset(hostile);
	width = 1u << random_below(hostile, 4);
	if (random_one_in(hostile, 2)) /* a register's own width */
		width = offset == COMMON_STATUS ? 1 : offset < 0x10 || offset >= 0x20 ? 4 : 2;
	hostile_access(hostile, (virtio->common & ~0xfffull) + offset, width,
		       message_tame(hostile_value(hostile)));
}
