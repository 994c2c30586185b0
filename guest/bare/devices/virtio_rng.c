// SPDX-License-Identifier: BSD-2-Clause
#include "virtio.h"

static void rng(void)
{
	static uint8_t bytes[2][64];
	struct virtio device;
	unsigned differ = 0;

	if (!check(virtio_find(&device, VIRTIO_RNG, 0), "virtio-rng is there") ||
	    !check(virtio_start(&device, 0), "its driver starts"))
		return;
	for (unsigned i = 0; i < 2; i++) {
		const struct part part = {bytes[i], sizeof(bytes[i]), true};

		check(virtio_request(&device, 0, &part, 1) == sizeof(bytes[i]), "64 bytes came");
	}
	for (unsigned i = 0; i < sizeof(bytes[0]); i++)
		differ += bytes[0][i] != bytes[1][i];
	check(differ > 32, "they look random: %u of 64 differ", differ);
}
TEST("virtio-rng", rng);
