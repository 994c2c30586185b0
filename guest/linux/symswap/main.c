// SPDX-License-Identifier: GPL-2.0-only
/*
 * symswap: swap devices whose pages are in memory of a symbiotic VMM. There is one device,
 * /dev/symswapN, for each window that the VMM shows.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cc_platform.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include "internal.h"

/*
 * A hibernated guest would find its image on the device only as long as this VMM lives. So
 * hibernation is refused while one of the devices is in use.
 */
static int symswap_pm(struct notifier_block *block, unsigned long event, void *unused)
{
	struct symswap_device *device;
	unsigned int i;

	if (event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	for (i = 0; i < SYM_SWAP_WINDOWS_MAX; i++) {
		device = symswap_device_find(i);
		if (!device || !disk_openers(device->disk))
			continue;
		pr_warn("no hibernation while %s is in use\n", device->disk->disk_name);
		return notifier_from_errno(-EBUSY);
	}
	return NOTIFY_OK;
}

static struct notifier_block symswap_pm_notifier = { .notifier_call = symswap_pm };

static struct symswap_device *__init symswap_add(u32 index, u64 gpa)
{
	struct symswap_device *device = kzalloc(sizeof(*device), GFP_KERNEL);
	int error = -ENOMEM;

	if (!device)
		goto out;
	device->revoke = &symswap_map_revoke;
	error = symswap_window_open(device, index, gpa);
	if (error)
		goto out_free;
	error = symswap_block_add(device);
	if (!error)
		return device;
	symswap_window_close(device);
out_free:
	kfree(device);
out:
	pr_err("window %u at %#llx: error %d\n", index, gpa, error);
	return NULL;
}

static void symswap_remove_all(void)
{
	struct symswap_device *device;
	unsigned int i;

	for (i = 0; i < SYM_SWAP_WINDOWS_MAX; i++) {
		device = symswap_device_find(i);
		if (!device)
			continue;
		symswap_block_remove(device);
		symswap_window_close(device);
		symswap_device_set(i, NULL);
		kfree(device);
	}
}

static unsigned int __init symswap_add_all(void)
{
	struct symswap_device *device;
	unsigned int i, count = 0;

	for (i = 0; i < SYM_SWAP_WINDOWS_MAX; i++) {
		u64 gpa = symbiotic_swap_window(i);

		device = gpa ? symswap_add(i, gpa) : NULL;
		symswap_device_set(i, device);
		count += !!device;
	}
	return count;
}

static int __init symswap_init(void)
{
	int error;

	/* The VMM could not read what this kernel writes to a window. */
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		pr_info("not in a guest whose memory is encrypted\n");
		return -ENODEV;
	}
	if (!symbiotic_swap_window(0)) {
		pr_info("no VMM with a slot store\n");
		return -ENODEV;
	}
	error = symswap_weights_start();
	if (error)
		return error;
	error = symswap_query_start();
	if (error)
		goto out_weights;
	error = symswap_block_start();
	if (error)
		goto out_query;
	error = register_pm_notifier(&symswap_pm_notifier);
	if (error)
		goto out_block;
	if (symswap_add_all()) {
		symswap_map_start(symswap_weights_folder());
		return 0;
	}
	error = -ENODEV;
	unregister_pm_notifier(&symswap_pm_notifier);
out_block:
	symswap_block_stop();
out_query:
	symswap_query_stop();
out_weights:
	symswap_weights_stop();
	return error;
}

static void __exit symswap_exit(void)
{
	unregister_pm_notifier(&symswap_pm_notifier);
	symswap_map_stop();
	symswap_remove_all();
	symswap_block_stop();
	symswap_query_stop();
	symswap_weights_stop();
}

module_init(symswap_init);
module_exit(symswap_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Swap devices in memory of a symbiotic VMM");
MODULE_VERSION("0.1");
