// SPDX-License-Identifier: BSD-2-Clause
/*
 * Guests that are hard to end or to ask: one answers each call late and without an end, one does
 * nothing but reset, one ignores its power button at first, or always.
 */
#include "runtime.h"
#include <symbiotic/abi.h>

#define UPPER_HALF 0xffff800000000000ull
#define SPY_PAGE   0x2000000ull /* in RAM that nothing else uses */
#define STACK_TOP  0x2010000ull

/* Spins for slow_cycles, then returns one task's length. The call for a list takes it as the
 * cookie, the calls for its pieces take it as one more piece. Uses RAX, RDX, R11 only; R9 is
 * unchanged. */
__asm__(".pushsection .text\n"
	"slow_handler:\n"
	"	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	add slow_cycles(%rip), %rax\n"
	"	mov %rax, %r11\n"
	"1:	pause\n"
	"	rdtsc\n"
	"	shl $32, %rdx\n"
	"	or %rdx, %rax\n"
	"	cmp %r11, %rax\n"
	"	jb 1b\n"
	"	mov $128, %eax\n"
	"	mov $0x530, %edx\n"
	"	out %al, (%dx)\n"
	"	jmp slow_handler\n"
	".popsection\n");
extern char slow_handler[];
uint64_t slow_cycles;

static uint64_t page_tables(void)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	return cr3 & ~0xfffull;
}

static uint64_t segments(void)
{
	uint16_t cs, ss;

	__asm__ volatile("mov %%cs, %0; mov %%ss, %1" : "=r"(cs), "=r"(ss));
	return (uint64_t)cs | (uint64_t)ss << 16;
}

static void registers(void)
{
	const struct {
		uint32_t index;
		uint64_t value;
	} writes[] = {
		{SYM_MSR_GUEST,
		 (uint64_t)SYM_ABI_VERSION << 32 | SYM_FEATURE_SYMCALL | SYM_FEATURE_SPY},
		{SYM_MSR_SPY_VCPU, SPY_PAGE | SYM_SPY_ENABLE},
		{SYM_MSR_ENTRY_RIP, UPPER_HALF + (uint64_t)slow_handler},
		{SYM_MSR_ENTRY_RSP, UPPER_HALF + STACK_TOP},
		{SYM_MSR_ENTRY_GS_BASE, 0},
		{SYM_MSR_ENTRY_SEGS, segments()},
		{SYM_MSR_CONTROL, SYM_CONTROL_ENABLE},
	};

	/* The lower half's tables, in the upper half as well. */
	write64(page_tables() + 256 * 8, *(volatile uint64_t *)page_tables());
	for (unsigned i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		check(msr_write(SYM_MSR_BASE + writes[i].index, writes[i].value),
		      "symbiotic register %u", writes[i].index);
}

static void answers_late(void)
{
	slow_cycles = option_number("slow", 900) * tsc_per_ms();
	registers();
	print("# stubborn: ready\n");
	for (;;)
		pause();
}
TEST("answers-late", answers_late);

static void only_resets(void)
{
	print("# stubborn: ready\n");
	for (;;)
		out8(PORT_POWER + 2, 0x52);
}
TEST("only-resets", only_resets);

/* As a booting kernel: events before it listens are lost. */
static void hears_late(void)
{
	uint64_t end = tsc() + option_number("seconds", 3) * 1000 * tsc_per_ms();

	print("# stubborn: ready\n");
	while (tsc() < end)
		pause();
	(void)in8(PORT_POWER + 3);
	while (!(in8(PORT_POWER + 3) & 1))
		delay_us(10000);
	check(true, "the power button was pressed again");
}
TEST("hears-late", hears_late);

static void deaf(void)
{
	print("# stubborn: ready\n");
	for (;;)
		pause();
}
TEST("deaf", deaf);
