// SPDX-License-Identifier: BSD-2-Clause
/* All I/O ports but those that end the VM, and the hole below 4 GiB. */
#include "hostile.h"

static bool reaches(unsigned port, unsigned width, unsigned first, unsigned last)
{
	return port <= last && port + width > first;
}

/* Power, pvpanic, the reset line, and ports from which an access of up to 4 bytes reaches them. */
static bool ends_the_vm(unsigned port, unsigned width)
{
	return reaches(port, width, 0x600, 0x602) || reaches(port, width, 0x505, 0x505) ||
	       reaches(port, width, 0x64, 0x64);
}

static void port_access(struct hostile *hostile, uint16_t port, uint32_t value)
{
	switch (random_below(hostile, 6)) {
	case 0:
		if (!ends_the_vm(port, 1))
			out8(port, (uint8_t)value);
		break;
	case 1:
		if (!ends_the_vm(port, 2))
			out16(port, (uint16_t)value);
		break;
	case 2:
		if (!ends_the_vm(port, 4))
			out32(port, value);
		break;
	case 3:
		(void)in8(port);
		break;
	case 4:
		(void)in16(port);
		break;
	default:
		(void)in32(port);
	}
}

/* Strings: many elements in one exit. */
static void port_string(struct hostile *hostile, uint16_t port)
{
	uint64_t count = random_below(hostile, 2048) + 1;
	uint64_t at = arena_address(hostile, 16384, 1);

	if (ends_the_vm(port, 4) || (port >= 0x3f8 && port < 0x400))
		return;
	switch (random_below(hostile, 4)) {
	case 0:
		__asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(port) : "memory");
		break;
	case 1:
		__asm__ volatile("rep outsl" : "+S"(at), "+c"(count) : "d"(port) : "memory");
		break;
	case 2:
		__asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(port) : "memory");
		break;
	default:
		__asm__ volatile("rep insw" : "+D"(at), "+c"(count) : "d"(port) : "memory");
	}
}

void attack_ports(struct hostile *hostile)
{
	static const uint16_t bases[] = {0x3f8,	 0x3f8, 0x70, 0x500, 0x530, 0x600, 0xcf8,
					 0xc000, 0x20,	0x40, 0x60,  0xa0,  0x80,  0xfff0};
	uint32_t value = (uint32_t)hostile_value(hostile);
	uint16_t port;

	if (random_one_in(hostile, 3))
		port = (uint16_t)random_next(hostile);
	else
		port = (uint16_t)(bases[random_below(hostile, sizeof(bases) / sizeof(bases[0]))] +
				  random_below(hostile, 16));
	if (random_one_in(hostile, 64))
		port_string(hostile, port);
	else
		port_access(hostile, port, value);
}

/* Spares the interrupt controllers, which are KVM's and could restart our CPU. */
void attack_hole(struct hostile *hostile)
{
	uint64_t address;

	if (random_one_in(hostile, 2))
		address = 0xc0000000ull + random_below(hostile, 0x100000);
	else
		address = 0xc0000000ull + random_below(hostile, 0x3ec00000 - 64);
	hostile_access(hostile, address, 1u << random_below(hostile, 4),
		       message_tame(hostile_value(hostile)));
}
