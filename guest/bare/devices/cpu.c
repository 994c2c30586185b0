// SPDX-License-Identifier: BSD-2-Clause
/* CPUID, MSRs, x2APIC, MTRRs. */
#include "runtime.h"

#define VECTOR_SELF 0x50

static void features(void)
{
	struct cpuid_result one = cpuid(1, 0);

	check(!(one.ecx & 1u << 5), "no VMX");
	check(!(cpuid(0x80000001, 0).ecx & 1u << 2), "no SVM");
	check(one.ecx & 1u << 31, "a hypervisor is there");
	check(cpuid(0x40000000, 0).ebx == 0x4b4d564b, "it is KVM");
	check(cpuid(0x40000100, 0).ebx == 0x626d7953, "with the symbiotic interface");
	check(one.ecx & 1u << 21, "x2APIC is offered");
}

static void msrs(void)
{
	uint64_t value = 0;

	check(!msr_read(0x12345678, &value), "reading an unknown MSR raises #GP");
	check(!msr_write(0x12345678, 1), "writing it, too");
	check(interrupt_counts[13] == 2, "both were #GP");
	check(!msr_read(0x53594dff, &value), "so does one beside the symbiotic MSRs");
	check(msr_read(0x2ff, &value), "the MTRRs' default type");
	check((value & 0xff) == 6 && (value & 0x800), "it is write-back, and enabled: 0x%lx",
	      value);
}

static void x2apic(void)
{
	apic_enable();
	apic_set_x2();
	check(apic_id() == 0, "the x2APIC's id by MSR");
	apic_ipi(0, VECTOR_SELF);
	check(interrupt_wait(VECTOR_SELF, 1), "an interrupt to itself by its ICR");
}

static void cpu(void)
{
	features();
	msrs();
	x2apic();
}
TEST("cpu", cpu);
