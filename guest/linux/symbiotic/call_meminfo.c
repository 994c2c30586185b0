// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_MEMINFO: memory and swap counters. */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/workqueue.h>
#include <linux/psi_types.h>
#include <linux/sched/loadavg.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include "calls.h"
#include "internal.h"

/* all_vm_events() takes the hotplug lock. vm_event_states is exported: sum it here. */
static u64 sym_vm_event(enum vm_event_item item)
{
	unsigned int cpu;
	u64 sum = 0;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(vm_event_states, cpu).event[item]);
	return sum;
}

/* symbiotic_meminfo - takes no lock: safe in an atomic call. */
void symbiotic_meminfo(struct sym_meminfo *info)
{
	long swap_total = sym_ksyms.total_swap_pages ? READ_ONCE(*sym_ksyms.total_swap_pages) : 0;
	long available = si_mem_available();

	info->mem_total = (u64)totalram_pages() << PAGE_SHIFT;
	info->mem_free = (u64)global_zone_page_state(NR_FREE_PAGES) << PAGE_SHIFT;
	info->mem_available = (u64)max(available, 0L) << PAGE_SHIFT;
	info->swap_total = (u64)swap_total << PAGE_SHIFT;
	info->swap_free = (u64)max(get_nr_swap_pages(), 0L) << PAGE_SHIFT;
	info->swap_in = sym_vm_event(PSWPIN);
	info->swap_out = sym_vm_event(PSWPOUT);
	info->major_faults = sym_vm_event(PGMAJFAULT);
}
EXPORT_SYMBOL_GPL(symbiotic_meminfo);

u32 symbiotic_memory_pressure(void)
{
	unsigned long average;

	if (!IS_ENABLED(CONFIG_PSI) || !sym_ksyms.psi_system)
		return 0;
	average = READ_ONCE(sym_ksyms.psi_system->avg[PSI_MEM_SOME][0]);
	/* Percent, as a fixed-point number with FSHIFT bits after the point. */
	return min_t(u64, ((u64)average * 100) >> FSHIFT, 100 * 100);
}
EXPORT_SYMBOL_GPL(symbiotic_memory_pressure);

static s64 sym_meminfo(const struct symbiotic_request *request)
{
	struct sym_meminfo info;

	if (!request->message)
		return -EOPNOTSUPP;
	symbiotic_meminfo(&info);
	memcpy(request->message, &info, sizeof(info));
	return sizeof(info);
}

SYM_CALLS(meminfo) = {
	{
		.number = SYM_CALL_MEMINFO,
		.name = "meminfo",
		.owner = THIS_MODULE,
		.handler = sym_meminfo,
	},
	{},
};
