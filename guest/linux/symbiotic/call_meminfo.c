// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_MEMINFO: memory and swap counters. */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/swap.h>
#include <linux/vmstat.h>
#include "calls.h"
#include "internal.h"

/* vm_event_states is exported, all_vm_events() takes the hotplug lock: sum by hand. */
static u64 sym_vm_event(enum vm_event_item item)
{
	unsigned int cpu;
	u64 sum = 0;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(vm_event_states, cpu).event[item]);
	return sum;
}

/* sym_meminfo_read - takes no lock: safe in an atomic call. */
void sym_meminfo_read(struct sym_meminfo *info)
{
	long swap_total = sym_unlisted.total_swap_pages ? READ_ONCE(*sym_unlisted.total_swap_pages)
							: 0;
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

static s64 sym_meminfo(const struct symbiotic_request *request)
{
	struct sym_meminfo info;

	if (!request->message)
		return -EOPNOTSUPP;
	sym_meminfo_read(&info);
	memcpy(request->message, &info, sizeof(info));
	return sizeof(info);
}

const struct symbiotic_call sym_call_meminfo = {
	.number = SYM_CALL_MEMINFO,
	.name = "meminfo",
	.owner = THIS_MODULE,
	.handler = sym_meminfo,
};
