// SPDX-License-Identifier: BSD-2-Clause
/* Application processors by INIT and SIPI. Each has its own APIC id and takes interrupts. */
#include "runtime.h"

static volatile uint32_t seen[CPUS_MAX];

static void on_cpu(unsigned id)
{
	if (id < CPUS_MAX)
		__atomic_fetch_add(&seen[id], 1, __ATOMIC_SEQ_CST);
}

static void smp(void)
{
	unsigned cpus = (unsigned)option_number("cpus", 1), right = 0;

	apic_enable();
	check(cpus_start(cpus, on_cpu) == cpus - 1, "%u further CPUs started", cpus - 1);
	for (unsigned id = 1; id < cpus; id++)
		right += seen[id] == 1;
	check(right == cpus - 1, "each of them once, with an APIC id of its own");
	check(apic_id() == 0, "the boot CPU's id is 0");
	check((cpuid(1, 0).ebx >> 16 & 0xff) == cpus, "CPUID tells of %u logical CPUs", cpus);
	check(cpus == 1 || (cpuid(1, 0).edx & 1u << 28), "HTT goes with more than one");
	check((cpuid(0x80000008, 0).ecx & 0xff) == cpus - 1, "so does leaf 0x80000008");
	if (cpuid(0, 0).eax >= 0xb)
		check((cpuid(0xb, 1).ebx & 0xffff) == cpus, "so does leaf 0xb");
}
TEST("smp", smp);
