// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of map*.c in a kernel that cannot map slots: swap-ins are copied, the VMM may give RAM,
 * and /sys/kernel/symswap/map says why. No word of a slot is ever MAPPED there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>
#include "internal.h"

static const char symswap_map_why[] = "not with this kernel";

/* As in map.c, for the same command lines. */
static bool map = true;
module_param(map, bool, 0444);
MODULE_PARM_DESC(map, "without effect: slots cannot be mapped with this kernel");

static bool map_untested;
module_param(map_untested, bool, 0444);
MODULE_PARM_DESC(map_untested, "without effect: slots cannot be mapped with this kernel");

static ssize_t map_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	return sysfs_emit(text, "off: %s\n", symswap_map_why);
}
static struct kobj_attribute symswap_map_attribute = __ATTR_RO(map);

void symswap_map_start(struct kobject *kobject)
{
	if (sysfs_create_file(kobject, &symswap_map_attribute.attr))
		pr_warn("no /sys/kernel/" SYMSWAP_NAME "/map\n");
	pr_info("slots are not mapped, but copied: %s\n", symswap_map_why);
}

void symswap_map_stop(void)
{
}

int symswap_table_device(struct symswap_device *device)
{
	return 0;
}

void symswap_table_forget(struct symswap_device *device)
{
}

static void symswap_none_slot(struct symswap_device *device, u64 slot)
{
}

static unsigned long symswap_none_some(struct symswap_device *device, unsigned long most)
{
	return 0;
}

const struct symswap_revoke symswap_map_revoke = {
	.slot = symswap_none_slot,
	.some = symswap_none_some,
};
