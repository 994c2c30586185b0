// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_MEMORY: where the memory is, the working set's refaults, and pressure. */
#include <linux/jump_label.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include "calls.h"
#include "internal.h"
#include "pressure.h"

/* Also of an item that is counted in bytes: the kernel keeps its sum over all nodes in pages. */
static u64 sym_node_bytes(enum node_stat_item item)
{
	return (u64)global_node_page_state_pages(item) << PAGE_SHIFT;
}

static void sym_memory_use(struct sym_memory *memory)
{
	u64 file = sym_node_bytes(NR_FILE_PAGES);

	memory->swap_cached = (u64)total_swapcache_pages() << PAGE_SHIFT;
	memory->file = file - min(file, memory->swap_cached);
	memory->anon = sym_node_bytes(NR_ANON_MAPPED);
	memory->shmem = sym_node_bytes(NR_SHMEM);
	memory->slab_reclaimable = sym_node_bytes(NR_SLAB_RECLAIMABLE_B);
	memory->slab_unreclaimable = sym_node_bytes(NR_SLAB_UNRECLAIMABLE_B);
	memory->page_tables = sym_node_bytes(NR_PAGETABLE);
	memory->kernel_stacks = (u64)global_node_page_state(NR_KERNEL_STACK_KB) << 10;
	memory->dirty = sym_node_bytes(NR_FILE_DIRTY);
	memory->writeback = sym_node_bytes(NR_WRITEBACK);
	memory->refault_anon = global_node_page_state(WORKINGSET_REFAULT_ANON);
	memory->refault_file = global_node_page_state(WORKINGSET_REFAULT_FILE);
}

static void sym_memory_pressure(struct sym_memory *memory)
{
#ifdef CONFIG_PSI
	static const enum psi_states states[] = {
		[SYM_PRESSURE_CPU_SOME] = PSI_CPU_SOME,
		[SYM_PRESSURE_CPU_FULL] = PSI_CPU_FULL,
		[SYM_PRESSURE_MEMORY_SOME] = PSI_MEM_SOME,
		[SYM_PRESSURE_MEMORY_FULL] = PSI_MEM_FULL,
		[SYM_PRESSURE_IO_SOME] = PSI_IO_SOME,
		[SYM_PRESSURE_IO_FULL] = PSI_IO_FULL,
	};
	const struct static_key *off = sym_ksyms.psi_disabled;
	unsigned int i;

	if (!sym_ksyms.psi_system || (off && static_key_count((struct static_key *)off)))
		return;
	memory->flags |= SYM_MEMORY_PRESSURE;
	for (i = 0; i < ARRAY_SIZE(states); i++)
		memory->pressure[i] = sym_pressure(sym_ksyms.psi_system, states[i]);
#endif
}

static s64 sym_memory(const struct symbiotic_request *request)
{
	struct sym_memory memory = {};
	struct sym_meminfo info;

	if (!request->message)
		return -EOPNOTSUPP;
	symbiotic_meminfo(&info);
	memory.mem_total = info.mem_total;
	memory.mem_free = info.mem_free;
	memory.mem_available = info.mem_available;
	memory.swap_total = info.swap_total;
	memory.swap_free = info.swap_free;
	memory.swap_in = info.swap_in;
	memory.swap_out = info.swap_out;
	memory.major_faults = info.major_faults;
	sym_memory_use(&memory);
	sym_memory_pressure(&memory);
	memcpy(request->message, &memory, sizeof(memory));
	return sizeof(memory);
}

SYM_CALLS(memory) = {
	{
		.number = SYM_CALL_MEMORY,
		.name = "memory",
		.owner = THIS_MODULE,
		.handler = sym_memory,
	},
	{},
};
