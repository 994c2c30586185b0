// SPDX-License-Identifier: BSD-2-Clause
/* The ways to end a VM: power-off, reset, triple fault. A reset clears RAM, but not CMOS memory. */
#include "runtime.h"

#define LEFTOVER (*(volatile uint32_t *)0x80000)

static void off(void)
{
	check(true, "powering off");
}
TEST("power-off", off);

static void reset(void)
{
	if (cmos_read(CMOS_MEMORY) != 0xb7) {
		cmos_write(CMOS_MEMORY, 0xb7);
		LEFTOVER = 0x5ec4e7;
		check(true, "first boot");
		out8(PORT_POWER + 2, 0x51);
		check(true, "another value does not reset");
		for (;;)
			out8(PORT_POWER + 2, 0x52);
	}
	check(true, "second boot");
	check(LEFTOVER == 0, "what the last boot left in RAM is gone");
}
TEST("reset", reset);

static void triple_fault(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) nothing = {0, 0};

	__asm__ volatile("lidt %0; ud2" : : "m"(nothing));
	check(false, "the VM ends at a triple fault");
}
TEST("triple-fault", triple_fault);
