// SPDX-License-Identifier: GPL-2.0-only
/*
 * SYM_CALL_SWAP_QUERY: the task that swaps in, and the guest's memory. A safepoint call, made while
 * a doorbell of this module rings: @current is the task that reads the slot.
 */
#include <linux/cred.h>
#include <linux/memcontrol.h>
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/page_counter.h>
#include <linux/sched.h>
#include <linux/vmstat.h>
#include "internal.h"

/* The fault for which a task on this CPU is about to ask. Other tasks may come in between. */
struct symswap_about {
	const struct task_struct *task; /* only compared */
	u64 address, start, end, flags;
};
static DEFINE_PER_CPU(struct symswap_about, symswap_about);

/*
 * symswap_query_about - the next question of this task is about this fault. The caller keeps
 * migration off until it has asked. @vma NULL: the end of that.
 */
void symswap_query_about(const struct vm_area_struct *vma, unsigned long address)
{
	struct symswap_about about = { .task = NULL };

	if (vma)
		about = (struct symswap_about){
			.task = current,
			.address = address,
			.start = vma->vm_start,
			.end = vma->vm_end,
			.flags = vma->vm_flags,
		};
	preempt_disable();
	*this_cpu_ptr(&symswap_about) = about;
	preempt_enable();
}

/* Preemption is off. */
static void symswap_fault(struct sym_swap_query *query)
{
	const struct symswap_about *about = this_cpu_ptr(&symswap_about);

	if (about->task != current)
		return;
	query->address = about->address;
	query->vma_start = about->start;
	query->vma_end = about->end;
	query->vma_flags = about->flags;
}

/* The watermarks above which kswapd sleeps, all zones together, in bytes. */
static u64 symswap_high_watermark(void)
{
	u64 pages = 0;
	int node, zone;

	for_each_online_node(node) for (zone = 0; zone < MAX_NR_ZONES; zone++)
	{
		const struct zone *of = &NODE_DATA(node)->node_zones[zone];

		pages += high_wmark_pages(of);
	}
	return pages << PAGE_SHIFT;
}

/* The narrowest limit among the task's cgroup and its ancestors. Under RCU. */
static void symswap_memcg(struct sym_swap_query *query)
{
	u64 room = U64_MAX;
	struct mem_cgroup *group;

	query->memcg_limit = ~0ull;
	if (mem_cgroup_disabled())
		return;
	for (group = mem_cgroup_from_task(current); group; group = parent_mem_cgroup(group)) {
		unsigned long limit = READ_ONCE(group->memory.max);
		unsigned long usage = page_counter_read(&group->memory);

		if (limit >= PAGE_COUNTER_MAX || limit - min(usage, limit) >= room)
			continue;
		room = limit - min(usage, limit);
		query->memcg_limit = (u64)limit << PAGE_SHIFT;
		query->memcg_usage = (u64)usage << PAGE_SHIFT;
	}
	/* Near: less than an eighth is left, so this limit makes its tasks swap. */
	if (query->memcg_limit != ~0ull &&
	    query->memcg_usage >= query->memcg_limit - query->memcg_limit / 8)
		query->flags |= SYM_SWAP_QUERY_MEMCG;
}

static s64 symswap_query(const struct symbiotic_request *request)
{
	struct sym_swap_query query = { .flags = 0 };
	struct sym_meminfo info;

	if (!request->message)
		return -EOPNOTSUPP;
	query.pid = task_pid_nr(current);
	query.tgid = task_tgid_nr(current);
	query.uid = from_kuid(&init_user_ns, current_uid());
	if (current->flags & PF_KTHREAD)
		query.flags |= SYM_SWAP_QUERY_KERNEL;
	symswap_fault(&query);
	memcpy(query.comm, current->comm, sizeof(query.comm));
	query.comm[sizeof(query.comm) - 1] = '\0';
	rcu_read_lock();
	symbiotic_task_cgroup(current, query.cgroup, sizeof(query.cgroup));
	symswap_memcg(&query);
	rcu_read_unlock();
	query.weight = symswap_weight();
	symbiotic_meminfo(&info);
	query.mem_total = info.mem_total;
	query.mem_free = info.mem_free;
	query.mem_available = info.mem_available;
	query.high_watermark = symswap_high_watermark();
	query.swap_used = info.swap_total - min(info.swap_free, info.swap_total);
	query.swap_in = info.swap_in;
	query.swap_out = info.swap_out;
	query.refault_anon = global_node_page_state(WORKINGSET_REFAULT_ANON);
	query.psi_some = symbiotic_memory_pressure();
	memcpy(request->message, &query, sizeof(query));
	return sizeof(query);
}

static const struct symbiotic_call symswap_query_call = {
	.number = SYM_CALL_SWAP_QUERY,
	.name = "swap-query",
	.owner = THIS_MODULE,
	.handler = symswap_query,
};

int __init symswap_query_start(void)
{
	return symbiotic_call_register(&symswap_query_call);
}

void symswap_query_stop(void)
{
	symbiotic_call_unregister(&symswap_query_call);
}
