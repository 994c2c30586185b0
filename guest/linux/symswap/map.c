// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verdict `map`: whether this kernel can do it, and the slots that the VMM wants back. If it
 * cannot, swap-ins are copied, and /sys/kernel/symswap/map says why.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/sysfs.h>
#include <linux/utsname.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include "map.h"

#define SYMSWAP_REVOKE_MS   300u /* the VMM updates revoke_wanted four times a second */
#define SYMSWAP_REVOKE_CALL 256u /* mappings revoked in one call: preemption is off */

static bool map = true;
module_param(map, bool, 0444);
MODULE_PARM_DESC(map, "map slots where the VMM says so (default: yes)");

static bool map_untested;
module_param(map_untested, bool, 0444);
MODULE_PARM_DESC(map_untested, "map in 6.1 and 6.12 kernels that are not Debian's (default: no)");

static char symswap_missing[48];
static const char *symswap_map_off = "not started"; /* why, or NULL */

/* symswap_map_active - swap-ins may be mapped */
bool symswap_map_active(void)
{
	return !READ_ONCE(symswap_map_off);
}

static s64 symswap_revoke(const struct symbiotic_request *request)
{
	struct symswap_device *device = symswap_device_find(request->args[0]);

	if (!device)
		return -EINVAL;
	return symswap_revoke_some(device, min_t(u64, request->args[1], SYMSWAP_REVOKE_CALL));
}

static const struct symbiotic_call symswap_revoke_call = {
	.number = SYM_CALL_SWAP_REVOKE,
	.name = "swap-revoke",
	.owner = THIS_MODULE,
	.handler = symswap_revoke,
};

/* Revokes the mappings that the VMM wants back. */
static void symswap_revoke_wanted(struct symswap_device *device)
{
	u64 wanted = READ_ONCE(device->header->revoke_wanted);

	/* The policy gives no MAP any more: all of them. */
	if (!(READ_ONCE(device->header->verdicts) & 1u << SYM_VERDICT_MAP))
		wanted = atomic_long_read(&device->mapped_count);
	while (wanted) {
		u64 part = symswap_revoke_some(device, min_t(u64, wanted, SYMSWAP_REVOKE_CALL));

		if (!part)
			return;
		wanted -= part;
		cond_resched();
	}
}

static void symswap_revoke_work(struct work_struct *work)
{
	symswap_devices_each(symswap_revoke_wanted);
	symswap_revoke_limited();
	queue_delayed_work(sym_unbound_wq, to_delayed_work(work),
			   msecs_to_jiffies(SYMSWAP_REVOKE_MS));
}
static DECLARE_DELAYED_WORK(symswap_revoke_worker, symswap_revoke_work);

static ssize_t map_show(struct kobject *kobject, struct kobj_attribute *attribute, char *text)
{
	const char *why = READ_ONCE(symswap_map_off);

	return why ? sysfs_emit(text, "off: %s\n", why) : sysfs_emit(text, "on\n");
}
static struct kobj_attribute symswap_map_attribute = __ATTR_RO(map);

/*
 * The kernels whose memory management was read for this, and with which it was tested. A
 * distributor may put the memory management of a later kernel under an older number, so the number
 * alone says nothing.
 */
static bool symswap_kernel_known(void)
{
	if (!map_untested && !strstr(init_utsname()->version, "Debian"))
		return false;
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) /* calls take spinlocks with preemption off */
		return false;
	return (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0) &&
		LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)) ||
	       (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) &&
		LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0));
}

static const char *symswap_map_try(void)
{
	struct symswap_device *device = symswap_device_any();
	const char *failed;

	if (!map)
		return "not wanted (map=0)";
	if (!symswap_kernel_known())
		return "not tested with this kernel";
	failed = symswap_hooks_start();
	if (failed) {
		snprintf(symswap_missing, sizeof(symswap_missing), "no hook on %s", failed);
		return symswap_missing;
	}
	symswap_mm_start();
	failed = symswap_map_test(device);
	if (!failed)
		return NULL;
	symswap_hooks_stop();
	symswap_devices_each(symswap_revoke_all);
	symswap_mm_stop();
	return failed;
}

/* symswap_map_start - after the devices were added. A failure is logged, and not an error. */
void symswap_map_start(struct kobject *kobject)
{
	const char *why = symswap_map_try();

	WRITE_ONCE(symswap_map_off, why);
	if (sysfs_create_file(kobject, &symswap_map_attribute.attr))
		pr_warn("no /sys/kernel/" SYMSWAP_NAME "/map\n");
	if (why) {
		pr_info("slots are not mapped, but copied: %s\n", why);
		return;
	}
	if (symbiotic_call_register(&symswap_revoke_call))
		pr_warn("the VMM can not ask for mapped slots at once\n");
	symswap_map_release();
	queue_delayed_work(sym_unbound_wq, &symswap_revoke_worker, 0);
	pr_info("slots can be mapped\n");
}

/* symswap_map_stop - revoke everything, before the devices go. May sleep. */
void symswap_map_stop(void)
{
	if (!symswap_map_active())
		return;
	symswap_map_hold();
	cancel_delayed_work_sync(&symswap_revoke_worker);
	symbiotic_call_unregister(&symswap_revoke_call);
	symswap_devices_each(symswap_revoke_all);
	/* After the last mapping: until then the kernel may need a page in place of one. */
	symswap_hooks_stop();
	symswap_mm_stop();
	WRITE_ONCE(symswap_map_off, "stopped");
}
