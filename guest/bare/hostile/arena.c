// SPDX-License-Identifier: BSD-2-Clause
#include "hostile.h"

static uint64_t ram_end;

/* xorshift64*, Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
uint64_t random_next(struct hostile *hostile)
{
	uint64_t x = hostile->random_state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	hostile->random_state = x;
	return x * 0x2545f4914f6cdd1dull;
}

uint64_t random_below(struct hostile *hostile, uint64_t limit)
{
	return (random_next(hostile) >> 11) % limit;
}

bool random_one_in(struct hostile *hostile, unsigned n)
{
	return random_below(hostile, n) == 0;
}

void arena_find(void)
{
	const struct memory_range *ranges;
	unsigned count = memory_map(&ranges);

	for (unsigned i = 0; i < count; i++)
		if (ranges[i].type == 1 && ranges[i].address == 0x100000)
			ram_end = ranges[i].address + ranges[i].size;
}

uint64_t arena_end(void)
{
	return ram_end;
}

uint64_t arena_address(struct hostile *hostile, uint64_t length, uint64_t alignment)
{
	uint64_t room = ram_end - ARENA_START - length;

	return (ARENA_START + random_below(hostile, room)) & ~(alignment - 1);
}

uint64_t hostile_value(struct hostile *hostile)
{
	switch (random_below(hostile, 8)) {
	case 0:
		return 0;
	case 1:
		return ~0ull;
	case 2:
		return 1ull << random_below(hostile, 64);
	case 3:
		return (1ull << random_below(hostile, 64)) - 1;
	case 4:
		return random_below(hostile, 256);
	case 5:
		return random_below(hostile, 65536);
	case 6:
		return hostile_address(hostile);
	default:
		return random_next(hostile);
	}
}

uint64_t hostile_address(struct hostile *hostile)
{
	const uint64_t edges[] = {
		ram_end,
		0xbffffff0ull,
		0xc0000000ull,
		0xc0004000ull,
		0xd0000000ull,
		0xe0000000ull,
		0xfec00000ull,
		0xfee00000ull,
		0xfffffff0ull,
		0x100000000ull,
		1ull << 40,
		1ull << 47,
		0x7ffffffffffffff0ull,
		0x8000000000000000ull,
		0xfffffffffffff000ull,
		~0ull - 15,
	};
	uint64_t edge;

	if (!random_one_in(hostile, 4))
		return arena_address(hostile, 0x10000, random_one_in(hostile, 4) ? 1 : 16);
	edge = edges[random_below(hostile, sizeof(edges) / sizeof(edges[0]))];
	if (random_one_in(hostile, 2))
		return edge;
	/* Straddling the edge from below. */
	return edge - random_below(hostile, 0x2000);
}

uint32_t hostile_length(struct hostile *hostile, uint64_t address)
{
	static const uint32_t edges[] = {0,	1,	 2,	   15,	       16,	   17,
					 511,	512,	 513,	   4095,       4096,	   65535,
					 65536, 1 << 20, 1u << 31, 0x7fffffff, 0xfffffff0, ~0u};

	switch (random_below(hostile, 6)) {
	case 0:
		return edges[random_below(hostile, sizeof(edges) / sizeof(edges[0]))];
	case 1: /* up to the end of RAM, or one byte further */
		return (uint32_t)(ram_end - address + random_below(hostile, 3) - 1);
	case 2:
		return (uint32_t)random_next(hostile);
	default:
		return (uint32_t)random_below(hostile, 4096) + 1;
	}
}

uint64_t message_tame(uint64_t value)
{
	/* Without SMI, INIT and ExtINT, which would end our own run. Both halves may be message
	 * data. */
	return value & ~0x0000030000000300ull;
}

void hostile_access(struct hostile *hostile, uint64_t address, unsigned width, uint64_t value)
{
	bool write = !random_one_in(hostile, 4);

	switch (width) {
	case 1:
		write ? write8(address, (uint8_t)value) : (void)read8(address);
		break;
	case 2:
		write ? write16(address, (uint16_t)value) : (void)read16(address);
		break;
	case 4:
		write ? write32(address, (uint32_t)value) : (void)read32(address);
		break;
	default:
		write ? write64(address, value) : (void)read64(address);
		break;
	}
}
