// SPDX-License-Identifier: BSD-2-Clause
/* RAM as in the memory map, also above 4 GiB. Its last bytes work. */
#include "runtime.h"

static bool works(uint64_t address)
{
	uint64_t before = read64(address), good;

	write64(address, 0x0123456789abcdefull ^ address);
	good = read64(address) == (0x0123456789abcdefull ^ address);
	write64(address, before);
	return good;
}

static void memory(void)
{
	const struct memory_range *ranges;
	unsigned count = memory_map(&ranges);
	uint64_t total = 0, high = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t end = ranges[i].address + ranges[i].size;

		if (ranges[i].type != 1)
			continue;
		total += ranges[i].size;
		if (ranges[i].address >= 0x100000000ull)
			high += ranges[i].size;
		check(works(end - 8), "RAM up to 0x%lx", end);
	}
	check(total >> 20 >= option_number("mib", 0) - 1, "%lu KiB of RAM", total >> 10);
	check(high >> 20 == option_number("high", 0), "%lu MiB of it above 4 GiB", high >> 20);
	if (high)
		check(works(0x100000000ull), "RAM from 4 GiB on");
	check(read64(0x100000000ull + high) == ~0ull, "all ones beyond it");
}
TEST("memory", memory);
