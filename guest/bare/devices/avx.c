// SPDX-License-Identifier: BSD-2-Clause
/*
 * AVX: the guest turns it on, keeps values in the upper halves of the registers, and resets the VM.
 * Afterwards all is as after power-on. Needs a CPU with AVX, which the emulated AMD host has not.
 */
#include "runtime.h"

#define CR4_OSFXSR  (1ul << 9)
#define CR4_OSXSAVE (1ul << 18)
#define XCR0_AVX    7 /* x87, SSE, AVX */

static uint64_t cr4_read(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

static uint64_t xcr0_read(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static void ymm_read(uint64_t values[4])
{
	__asm__ volatile("vmovdqu %%ymm0, (%0)" : : "r"(values) : "memory");
}

static void ymm_write(const uint64_t values[4])
{
	__asm__ volatile("vmovdqu (%0), %%ymm0" : : "r"(values) : "memory");
}

static void avx(void)
{
	const uint64_t kept[4] = {0x1111222233334444, 0x5555666677778888, 0x9999aaaabbbbcccc,
				  0xddddeeeeffff0001};
	uint64_t values[4] = {0};
	const bool again = cmos_read(CMOS_MEMORY) == 0xb8;
	bool same = true;

	if (!check(cpuid(1, 0).ecx & 1u << 28, "the CPU has AVX"))
		return;
	check(!(cr4_read() & CR4_OSXSAVE), "CR4.OSXSAVE is off");
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4_read() | CR4_OSFXSR | CR4_OSXSAVE));
	check(xcr0_read() == 1, "XCR0 is 1: 0x%lx", xcr0_read());
	__asm__ volatile("xsetbv" : : "a"(XCR0_AVX), "d"(0), "c"(0));
	check(xcr0_read() == XCR0_AVX, "XCR0 can be set");
	ymm_read(values);
	check(!(values[0] | values[1] | values[2] | values[3]), "YMM0 is zero");
	if (again)
		return;
	ymm_write(kept);
	cmos_write(CMOS_MEMORY, 0xb8); /* an exit to the VMM */
	ymm_read(values);
	for (int i = 0; i < 4; i++)
		same = same && values[i] == kept[i];
	check(same, "YMM0 keeps its value over exits");
	for (;;)
		out8(PORT_POWER + 2, 0x52);
}
TEST("avx", avx);
