// SPDX-License-Identifier: GPL-2.0-only
/* The table of devices, one for each window of the VMM, and look-ups in it. */
#include <linux/blkdev.h>
#include <linux/swap.h>
#include "internal.h"

static struct symswap_device *symswap_devices[SYM_SWAP_WINDOWS_MAX];

/* Only while the module loads or unloads. */
void symswap_device_set(unsigned int index, struct symswap_device *device)
{
	symswap_devices[index] = device;
}

void symswap_devices_each(void (*visit)(struct symswap_device *device))
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(symswap_devices); i++)
		if (symswap_devices[i])
			visit(symswap_devices[i]);
}

/* The device of window @index, or NULL. */
struct symswap_device *symswap_device_find(u64 index)
{
	return index < ARRAY_SIZE(symswap_devices) ? symswap_devices[index] : NULL;
}

/* The device whose block device has this @number, or NULL. */
struct symswap_device *symswap_device_number(dev_t number)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(symswap_devices); i++)
		if (symswap_devices[i] && disk_devt(symswap_devices[i]->disk) == number)
			return symswap_devices[i];
	return NULL;
}

/* The first device. There is one while the module is loaded. */
struct symswap_device *symswap_device_any(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(symswap_devices); i++)
		if (symswap_devices[i])
			return symswap_devices[i];
	return NULL;
}

/* The device whose slots are the entries of @info: the area is a whole device. Else NULL. */
struct symswap_device *symswap_device_of(const struct swap_info_struct *info)
{
	struct block_device *bdev = info->bdev;
	unsigned int i;

	if (!(info->flags & SWP_BLKDEV) || !bdev || bdev_is_partition(bdev))
		return NULL;
	for (i = 0; i < ARRAY_SIZE(symswap_devices); i++)
		if (symswap_devices[i] && symswap_devices[i]->disk == bdev->bd_disk)
			return symswap_devices[i];
	return NULL;
}
