// SPDX-License-Identifier: GPL-2.0-only
/*
 * Weights of cgroups, which the guest's owner sets: pages of a heavier cgroup come back first. A
 * line "PATH WEIGHT" written to /sys/kernel/symswap/weights sets one (1 to 10000; 0 removes it). It
 * holds for the cgroups below as well, unless they have their own.
 */
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include "internal.h"

#define SYMSWAP_WEIGHT_MAX  10000u
#define SYMSWAP_WEIGHTS_MAX 64u

struct symswap_weight {
	struct list_head list;
	u32 weight;
	char path[sizeof_field(struct sym_swap_query, cgroup)];
};

static LIST_HEAD(symswap_weight_list);
static unsigned int symswap_weight_count;
static DEFINE_SPINLOCK(symswap_weight_lock);
static struct kobject *symswap_kobject;

/* Whether @cgroup is @path or is below it. */
static bool symswap_weight_covers(const char *path, const char *cgroup)
{
	size_t length = strlen(path);

	return !strcmp(path, "/") ||
	       (!strncmp(path, cgroup, length) && (!cgroup[length] || cgroup[length] == '/'));
}

/* symswap_weight - the weight of @cgroup or its nearest ancestor with one. Does not sleep. */
u32 symswap_weight(const char *cgroup)
{
	const struct symswap_weight *entry;
	u32 weight = SYMSWAP_WEIGHT_DEFAULT;
	size_t best = 0;

	spin_lock(&symswap_weight_lock);
	list_for_each_entry(entry, &symswap_weight_list, list)
	{
		if (strlen(entry->path) < best || !symswap_weight_covers(entry->path, cgroup))
			continue;
		best = strlen(entry->path);
		weight = entry->weight;
	}
	spin_unlock(&symswap_weight_lock);
	return weight;
}

/* symswap_weight_class - of the current task. Cheap if no weight is set. Does not sleep. */
enum symswap_weight_class symswap_weight_class(void)
{
	char cgroup[sizeof_field(struct sym_swap_query, cgroup)];
	u32 weight;

	if (!READ_ONCE(symswap_weight_count))
		return SYMSWAP_WEIGHT_USUAL;
	rcu_read_lock();
	symbiotic_task_cgroup(current, cgroup, sizeof(cgroup));
	rcu_read_unlock();
	weight = symswap_weight(cgroup);
	if (weight == SYMSWAP_WEIGHT_DEFAULT)
		return SYMSWAP_WEIGHT_USUAL;
	return weight < SYMSWAP_WEIGHT_DEFAULT ? SYMSWAP_WEIGHT_LIGHT : SYMSWAP_WEIGHT_HEAVY;
}

static struct symswap_weight *symswap_weight_find(const char *path)
{
	struct symswap_weight *entry;

	list_for_each_entry(entry, &symswap_weight_list,
			    list) if (!strcmp(entry->path, path)) return entry;
	return NULL;
}

/* Adds @new in place of an older entry of its path. Returns the entry to free, or NULL. */
static struct symswap_weight *symswap_weight_set(struct symswap_weight *new, int *error)
{
	struct symswap_weight *old = symswap_weight_find(new->path);

	if (new->weight && !old && symswap_weight_count >= SYMSWAP_WEIGHTS_MAX) {
		*error = -ENOSPC;
		return new;
	}
	if (old) {
		list_del(&old->list);
		symswap_weight_count--;
	}
	if (!new->weight) {
		kfree(old);
		return new;
	}
	list_add_tail(&new->list, &symswap_weight_list);
	symswap_weight_count++;
	return old;
}

static ssize_t weights_store(struct kobject *kobject, struct kobj_attribute *attribute,
			     const char *text, size_t length)
{
	struct symswap_weight *entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	int error = 0;

	if (!entry)
		return -ENOMEM;
	if (sscanf(text, "%95s %u", entry->path, &entry->weight) != 2 || entry->path[0] != '/' ||
	    entry->weight > SYMSWAP_WEIGHT_MAX) {
		kfree(entry);
		return -EINVAL;
	}
	spin_lock(&symswap_weight_lock);
	entry = symswap_weight_set(entry, &error);
	spin_unlock(&symswap_weight_lock);
	kfree(entry);
	return error ? error : length;
}

static ssize_t weights_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	const struct symswap_weight *entry;
	ssize_t length = 0;

	spin_lock(&symswap_weight_lock);
	list_for_each_entry(entry, &symswap_weight_list, list)
		length += sysfs_emit_at(text, length, "%s %u\n", entry->path, entry->weight);
	spin_unlock(&symswap_weight_lock);
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
	list_for_each_entry_safe(entry, next, &symswap_weight_list, list) kfree(entry);
}
