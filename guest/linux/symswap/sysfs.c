// SPDX-License-Identifier: GPL-2.0-only
/* /sys/block/symswapN/symbiotic/: the device's counters, one per file. */
#include <linux/device.h>
#include <linux/sysfs.h>
#include "internal.h"

static struct symswap_device *symswap_of(struct device *dev)
{
	return dev_to_disk(dev)->private_data;
}

#define SYMSWAP_STAT_ATTRIBUTE(name)                                                       \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attribute, \
				   char *text)                                             \
	{                                                                                  \
		return sysfs_emit(text, "%lld\n",                                          \
				  atomic64_read(&symswap_of(dev)->stats[SYMSWAP_##name])); \
	}                                                                                  \
	static DEVICE_ATTR_RO(name);
SYMSWAP_STATS(SYMSWAP_STAT_ATTRIBUTE)

static struct attribute *symswap_attributes[] = {
#define SYMSWAP_STAT_POINTER(name) &dev_attr_##name.attr,
	SYMSWAP_STATS(SYMSWAP_STAT_POINTER) NULL,
};

static const struct attribute_group symswap_group = {
	.name = "symbiotic",
	.attrs = symswap_attributes,
};

const struct attribute_group *symswap_groups[] = { &symswap_group, NULL };
