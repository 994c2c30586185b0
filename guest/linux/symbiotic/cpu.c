// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registration of each CPU with the VMM, following CPU hotplug.
 *
 * The MSRs of the interface are per vCPU, so every CPU registers itself. A CPU that the VMM refuses
 * stays usable, but no call can reach it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpuhotplug.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/segment.h>
#include "compat.h"
#include "internal.h"

/* Deep enough for a kernel stack walk with symbol names; as large as a kernel stack. */
#define SYM_STACK_SIZE THREAD_SIZE

/* Bits of CR3 that select a process's user page tables under KPTI: PCID and table. */
#define SYM_CR3_USER_BITS (BIT_ULL(11) | BIT_ULL(12))

DEFINE_PER_CPU(struct sym_cpu, sym_cpus);
static int sym_hotplug_state = -1;

/*
 * sym_msr_write - write a register of the interface on this CPU
 *
 * Returns 0 or the VMM's reason for refusing it, a negative errno.
 */
int sym_msr_write(u32 index, u64 value)
{
	u64 status;

	if (!sym_wrmsr_safe(sym_interface.msr_base + index, value))
		return 0;
	if (sym_rdmsr_safe(sym_interface.msr_base + SYM_MSR_STATUS, &status))
		return -EIO;
	return (s64)status < 0 && (s64)status >= -MAX_ERRNO ? (int)status : -EIO;
}

/*
 * No call may interrupt code on the stacks of NMI, #MC, #DB and #DF: their contents are lost if the
 * same exception comes again. The TSS has their addresses, wherever this kernel put its
 * (randomized) cpu_entry_area. They form one range per CPU.
 */
static void sym_exception_stacks(u64 *start, u64 *end)
{
	const struct x86_hw_tss *tss = &this_cpu_ptr(&cpu_tss_rw)->x86_tss;
	unsigned int i;

	*start = U64_MAX;
	*end = 0;
	for (i = 0; i < ARRAY_SIZE(tss->ist); i++) {
		if (!tss->ist[i])
			continue;
		*start = min_t(u64, *start, tss->ist[i] - EXCEPTION_STKSZ);
		*end = max_t(u64, *end, tss->ist[i]);
	}
}

static int sym_entry_write(const struct sym_cpu *cpu)
{
	u64 start, end, gs_base;
	unsigned int i;

	sym_exception_stacks(&start, &end);
	if (start >= end)
		return -ENXIO;
	sym_rdmsr(MSR_GS_BASE, gs_base);
	{
		const struct {
			u32 index;
			u64 value;
		} context[] = {
			{ SYM_MSR_ENTRY_RIP, (unsigned long)sym_entry },
			{ SYM_MSR_ENTRY_RSP, (unsigned long)cpu->stack + SYM_STACK_SIZE },
			{ SYM_MSR_ENTRY_GS_BASE, gs_base },
			{ SYM_MSR_ENTRY_SEGS, __KERNEL_CS | __KERNEL_DS << 16 },
			{ SYM_MSR_ENTRY_CR3,
			  boot_cpu_has(X86_FEATURE_PTI) ? SYM_CR3_USER_BITS : 0 },
			{ SYM_MSR_BLOCK_START, start },
			{ SYM_MSR_BLOCK_END, end },
		};

		for (i = 0; i < ARRAY_SIZE(context); i++) {
			int error = sym_msr_write(context[i].index, context[i].value);

			if (error)
				return error;
		}
	}
	return 0;
}

/*
 * sym_cpu_enable - register the CPU that runs this; for on_each_cpu()
 *
 * The caller must be bound to it.
 */
void sym_cpu_enable(void *unused)
{
	struct sym_cpu *cpu = raw_cpu_ptr(&sym_cpus);
	int error;

	if (!cpu->stack || !cpu->page)
		return;
	error = sym_msr_write(SYM_MSR_CONTROL, 0);
	if (!error && sym_interface.granted & SYM_FEATURE_SPY) {
		error = sym_msr_write(SYM_MSR_SPY_VCPU, virt_to_phys(cpu->page) | SYM_SPY_ENABLE);
		cpu->page_shared = !error;
	}
	if (!error && sym_interface.granted & SYM_FEATURE_SYMCALL) {
		error = sym_entry_write(cpu);
		if (!error)
			error = sym_msr_write(SYM_MSR_CONTROL, SYM_CONTROL_ENABLE);
		cpu->calls_enabled = !error;
	}
	cpu->error = error;
	if (error)
		pr_warn("CPU %u: the VMM refused the registration (%d)\n", smp_processor_id(),
			error);
}

/*
 * sym_cpus_disable - no call enters this CPU any more
 * @with_pages: not NULL: also take its SymSpy page back
 *
 * For on_each_cpu(). A call on this CPU has returned by now, since it would run in the place of
 * this code.
 */
void sym_cpus_disable(void *with_pages)
{
	struct sym_cpu *cpu = this_cpu_ptr(&sym_cpus);

	if (cpu->calls_enabled)
		sym_msr_write(SYM_MSR_CONTROL, 0);
	cpu->calls_enabled = false;
	if (with_pages && cpu->page_shared) {
		sym_msr_write(SYM_MSR_SPY_VCPU, 0);
		cpu->page_shared = false;
	}
}

/* The memory stays if the CPU goes offline, for its return. */
static int sym_cpu_prepare(struct sym_cpu *cpu, int node)
{
	struct page *page;

	if (!cpu->stack)
		cpu->stack = vzalloc_node(SYM_STACK_SIZE, node);
	if (!cpu->stack)
		return -ENOMEM;
	if (!cpu->page) {
		page = alloc_pages_node(node, GFP_KERNEL | __GFP_ZERO, 0);
		if (!page)
			return -ENOMEM;
		cpu->page = page_address(page);
	}
	return 0;
}

static int sym_cpu_online(unsigned int number)
{
	struct sym_cpu *cpu = per_cpu_ptr(&sym_cpus, number);

	cpu->error = sym_cpu_prepare(cpu, cpu_to_node(number));
	if (cpu->error) {
		pr_warn("CPU %u: no memory for its registration\n", number);
		return 0;
	}
	sym_cpu_enable(NULL);
	return 0;
}

static int sym_cpu_offline(unsigned int number)
{
	preempt_disable();
	sym_cpus_disable(&sym_hotplug_state);
	preempt_enable();
	return 0;
}

/* sym_cpus_register - register every CPU, now and when it comes online. May sleep. */
int sym_cpus_register(void)
{
	int state = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "symbiotic:online", sym_cpu_online,
				      sym_cpu_offline);

	if (state < 0)
		return state;
	sym_hotplug_state = state;
	return 0;
}

/* sym_cpus_unregister - the opposite; on return the VMM knows no CPU and no page of one. */
void sym_cpus_unregister(void)
{
	unsigned int number;

	if (sym_hotplug_state < 0)
		return;
	cpuhp_remove_state(sym_hotplug_state);
	sym_hotplug_state = -1;
	for_each_possible_cpu(number) {
		struct sym_cpu *cpu = per_cpu_ptr(&sym_cpus, number);

		vfree(cpu->stack);
		free_page((unsigned long)cpu->page);
		memset(cpu, 0, sizeof(*cpu));
	}
}
