// SPDX-License-Identifier: GPL-2.0-only
/*
 * Weights of cgroups, which the guest's owner sets: pages of a heavier cgroup come back first. A
 * line "PATH WEIGHT" written to /sys/kernel/symswap/weights sets one (1 to 10000; 0 removes it). It
 * holds for the cgroups below as well, unless they have their own.
 *
 * An entry holds the cgroup itself. A path is only looked up when it is written: paths of tasks can
 * be long, and a task that may make cgroups could give one a path that looks like another's. An
 * entry ends with its cgroup.
 *
 * Readers run inside a doorbell, with preemption off. So they take no lock, only RCU.
 */
#include <linux/cgroup.h>
#include <linux/kobject.h>
#include <linux/limits.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include "internal.h"

#define SYMSWAP_WEIGHT_MAX  10000u
#define SYMSWAP_WEIGHTS_MAX 64u

struct symswap_weight {
	struct list_head list;
	struct rcu_head rcu;
	struct cgroup *group; /* with a reference */
	u32 weight;
};

static LIST_HEAD(symswap_weight_list);
static unsigned int symswap_weight_count;
static DEFINE_MUTEX(symswap_weight_lock); /* to change them */
static struct kobject *symswap_kobject;

/* symswap_weight - of the current task: its cgroup's, or the nearest ancestor's that has one */
u32 symswap_weight(void)
{
	const struct symswap_weight *entry;
	u32 weight = SYMSWAP_WEIGHT_DEFAULT;
	struct cgroup *group;

	rcu_read_lock();
	for (group = task_css_set(current)->dfl_cgrp; group; group = cgroup_parent(group)) {
		list_for_each_entry_rcu(entry, &symswap_weight_list, list)
		{
			if (entry->group == group) {
				weight = entry->weight;
				goto out;
			}
		}
	}
out:
	rcu_read_unlock();
	return weight;
}

/* symswap_weight_class - of the current task. Cheap if no weight is set. Does not sleep. */
enum symswap_weight_class symswap_weight_class(void)
{
	u32 weight;

	if (!READ_ONCE(symswap_weight_count))
		return SYMSWAP_WEIGHT_USUAL;
	weight = symswap_weight();
	if (weight == SYMSWAP_WEIGHT_DEFAULT)
		return SYMSWAP_WEIGHT_USUAL;
	return weight < SYMSWAP_WEIGHT_DEFAULT ? SYMSWAP_WEIGHT_LIGHT : SYMSWAP_WEIGHT_HEAVY;
}

static bool symswap_weight_stale(const struct symswap_weight *entry)
{
	return !(READ_ONCE(entry->group->self.flags) & CSS_ONLINE);
}

/* With the lock. */
static void symswap_weight_remove(struct symswap_weight *entry)
{
	list_del_rcu(&entry->list);
	WRITE_ONCE(symswap_weight_count, symswap_weight_count - 1);
	cgroup_put(entry->group); /* readers only compare the pointer */
	kfree_rcu(entry, rcu);
}

/* Removes entries of @group, and those whose cgroups were removed. With the lock. */
static void symswap_weights_prune(const struct cgroup *group)
{
	struct symswap_weight *entry, *next;

	list_for_each_entry_safe(entry, next, &symswap_weight_list, list)
	{
		if (entry->group == group || symswap_weight_stale(entry))
			symswap_weight_remove(entry);
	}
}

/* Takes the reference to @group. */
static int symswap_weight_set(struct cgroup *group, u32 weight)
{
	struct symswap_weight *entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	int error = entry ? 0 : -ENOMEM;

	mutex_lock(&symswap_weight_lock);
	if (!error)
		symswap_weights_prune(group);
	if (!error && weight && symswap_weight_count >= SYMSWAP_WEIGHTS_MAX)
		error = -ENOSPC;
	if (!error && weight) {
		*entry = (struct symswap_weight){ .group = group, .weight = weight };
		list_add_tail_rcu(&entry->list, &symswap_weight_list);
		WRITE_ONCE(symswap_weight_count, symswap_weight_count + 1);
		entry = NULL;
		group = NULL;
	}
	mutex_unlock(&symswap_weight_lock);
	if (group)
		cgroup_put(group);
	kfree(entry);
	return error;
}

/* "PATH WEIGHT". The path is in the cgroup namespace of the task that writes. */
static ssize_t weights_store(struct kobject *kobject, struct kobj_attribute *attribute,
			     const char *text, size_t length)
{
	struct cgroup *group = NULL;
	char *path, *number;
	u32 weight;
	int error = -EINVAL;

	path = kstrdup(text, GFP_KERNEL);
	if (!path)
		return -ENOMEM;
	number = strrchr(strim(path), ' ');
	if (path[0] == '/' && number && !kstrtou32(number + 1, 10, &weight) &&
	    weight <= SYMSWAP_WEIGHT_MAX) {
		*number = '\0';
		group = cgroup_get_from_path(strim(path));
		error = PTR_ERR_OR_ZERO(group);
	}
	kfree(path);
	if (!error)
		error = symswap_weight_set(group, weight);
	return error ? error : length;
}

/* As many lines as fit a page. A path longer than the room that is left is not shown. */
static ssize_t weights_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	const struct symswap_weight *entry;
	ssize_t length = 0;
	char *path = kmalloc(PATH_MAX, GFP_KERNEL);

	if (!path)
		return -ENOMEM;
	mutex_lock(&symswap_weight_lock);
	symswap_weights_prune(NULL);
	list_for_each_entry(entry, &symswap_weight_list, list)
	{
		if (cgroup_path(entry->group, path, PATH_MAX) < 0 ||
		    length + strlen(path) + sizeof(" 10000\n") > PAGE_SIZE)
			continue;
		length += sysfs_emit_at(text, length, "%s %u\n", path, entry->weight);
	}
	mutex_unlock(&symswap_weight_lock);
	kfree(path);
	return length;
}

static struct kobj_attribute symswap_weights_attribute = __ATTR_RW(weights);

int __init symswap_weights_start(void)
{
	int error;

	symswap_kobject = kobject_create_and_add(SYMSWAP_NAME, kernel_kobj);
	if (!symswap_kobject)
		return -ENOMEM;
	error = sysfs_create_file(symswap_kobject, &symswap_weights_attribute.attr);
	if (error)
		kobject_put(symswap_kobject);
	return error;
}

/* symswap_weights_folder - /sys/kernel/symswap, for other files there */
struct kobject *symswap_weights_folder(void)
{
	return symswap_kobject;
}

void symswap_weights_stop(void)
{
	struct symswap_weight *entry, *next;

	kobject_put(symswap_kobject);
	mutex_lock(&symswap_weight_lock);
	list_for_each_entry_safe(entry, next, &symswap_weight_list, list)
		symswap_weight_remove(entry);
	mutex_unlock(&symswap_weight_lock);
}
