// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_CGROUPS: the cgroups that have most memory, found by a worker. */
#include <linux/cgroup.h>
#include <linux/limits.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/page_counter.h>
#include <linux/slab.h>
#include "calls.h"
#include "deferred.h"
#include "pressure.h"

#ifdef CONFIG_MEMCG
/* The largest ones so far, largest first. */
struct sym_cgroups {
	struct sym_cgroup *records;
	char *path; /* PATH_MAX bytes */
	unsigned int count, max;
};

static u64 sym_counter_bytes(const struct page_counter *counter)
{
	return (u64)page_counter_read((struct page_counter *)counter) << PAGE_SHIFT;
}

/* The tail of the path, from a character that follows a slash if possible. */
static void sym_cgroup_path(struct sym_cgroups *all, struct cgroup *group,
			    struct sym_cgroup *record)
{
	const char *tail = all->path;
	size_t length;

	all->path[0] = '\0';
	cgroup_path(group, all->path, PATH_MAX);
	length = strnlen(all->path, PATH_MAX - 1);
	if (length >= sizeof(record->path))
		tail += length - sizeof(record->path) + 1;
	memcpy(record->path, tail, min(length, sizeof(record->path) - 1));
}

static void sym_cgroup_fill(struct sym_cgroups *all, struct mem_cgroup *memcg,
			    struct sym_cgroup *record)
{
	struct cgroup *group = memcg->css.cgroup;
	unsigned long limit = READ_ONCE(memcg->memory.max);

	memset(record, 0, sizeof(*record));
	record->memory = sym_counter_bytes(&memcg->memory);
	record->limit = limit >= PAGE_COUNTER_MAX ? U64_MAX : (u64)limit << PAGE_SHIFT;
	record->swap = sym_counter_bytes(&memcg->swap);
#ifdef CONFIG_PSI
	record->pressure_some = sym_pressure(group->psi, PSI_MEM_SOME);
	record->pressure_full = sym_pressure(group->psi, PSI_MEM_FULL);
#endif
	sym_cgroup_path(all, group, record);
}

/* Inserts it if it is among the largest. */
static void sym_cgroup_add(struct sym_cgroups *all, struct mem_cgroup *memcg)
{
	u64 memory = sym_counter_bytes(&memcg->memory);
	unsigned int at = all->count, last = all->max - 1;

	while (at && all->records[at - 1].memory < memory)
		at--;
	if (at > last)
		return;
	if (all->count <= last)
		last = all->count++;
	memmove(&all->records[at + 1], &all->records[at], (last - at) * sizeof(all->records[0]));
	sym_cgroup_fill(all, memcg, &all->records[at]);
}

/* No memory controller in the unified hierarchy: -EOPNOTSUPP. */
static int sym_cgroups_walk(struct sym_cgroups *all)
{
	struct cgroup_subsys_state *root, *css;
	int error = -EOPNOTSUPP;

	if (mem_cgroup_disabled())
		return error;
	rcu_read_lock();
	root = rcu_dereference(cgrp_dfl_root.cgrp.subsys[memory_cgrp_id]);
	if (root) {
		error = 0;
		css_for_each_descendant_pre(css, root) if (css != root && css->flags & CSS_ONLINE)
			sym_cgroup_add(all, mem_cgroup_from_css(css));
	}
	rcu_read_unlock();
	return error;
}

static ssize_t sym_cgroups_produce(u64 max, void **data)
{
	struct sym_cgroups all = {
		.records = kvmalloc_array(max, sizeof(struct sym_cgroup), GFP_KERNEL),
		.path = kmalloc(PATH_MAX, GFP_KERNEL),
		.max = max,
	};
	int error = all.records && all.path ? sym_cgroups_walk(&all) : -ENOMEM;

	kfree(all.path);
	if (error) {
		kvfree(all.records);
		return error;
	}
	*data = all.records;
	return all.count * sizeof(*all.records);
}
#else
static ssize_t sym_cgroups_produce(u64 max, void **data)
{
	return -EOPNOTSUPP;
}
#endif

static DEFINE_SYM_DEFERRED(sym_cgroups_deferred, sym_cgroups_produce, sizeof(struct sym_cgroup));

static void sym_cgroups_stop(void)
{
	sym_deferred_stop(&sym_cgroups_deferred);
}

static s64 sym_cgroups_call(const struct symbiotic_request *request)
{
	const u64 cookie = request->args[0], max = request->args[2];

	if (!request->message)
		return -EOPNOTSUPP;
	if (cookie)
		return sym_deferred_fetch(&sym_cgroups_deferred, cookie, request->args[1],
					  request->message, SYM_MESSAGE_SIZE);
	if (request->args[1] || !max || max > SYM_CGROUPS_MAX)
		return -EINVAL;
	return sym_deferred_start(&sym_cgroups_deferred, max);
}

SYM_CALLS(cgroups) = {
	{
		.number = SYM_CALL_CGROUPS,
		.name = "cgroups",
		.owner = THIS_MODULE,
		.handler = sym_cgroups_call,
		.stop = sym_cgroups_stop,
	},
	{},
};
