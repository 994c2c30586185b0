// SPDX-License-Identifier: BSD-2-Clause
/* Ports and addresses without a device: reads give all ones, writes have no effect. */
#include "runtime.h"

static void unclaimed(void)
{
	static const uint16_t ports[] = {0x80, 0x278, 0x2f0, 0x3b0, 0x510, 0x7fe, 0xb000, 0xfffc};
	static const uint64_t addresses[] = {0xcffff000, 0xe0100000, 0xefffffe0, 0xfd000000,
					     0xfffffff0};

	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		out32(ports[i], 0x12345678);
		check(in8(ports[i]) == 0xff && in16(ports[i]) == 0xffff &&
			      in32(ports[i]) == 0xffffffff,
		      "port 0x%x reads all ones", ports[i]);
	}
	for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		write64(addresses[i], 0x12345678);
		check(read8(addresses[i]) == 0xff && read16(addresses[i]) == 0xffff &&
			      read32(addresses[i]) == 0xffffffff && read64(addresses[i]) == ~0ull,
		      "address 0x%lx reads all ones", addresses[i]);
	}
}
TEST("unclaimed", unclaimed);
