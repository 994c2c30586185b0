// SPDX-License-Identifier: GPL-2.0-only
/*
 * This takes the place of a module's code in a kernel of which nothing is known: Kbuild.features
 * did not find in its headers what the code uses. The module refuses to load, and the guest
 * continues without it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

static int __init sym_unknown_init(void)
{
	pr_warn("nothing is known of this kernel's %s: inactive\n", SYM_UNKNOWN);
	return -EOPNOTSUPP;
}

module_init(sym_unknown_init);
MODULE_DESCRIPTION("Refuses a kernel that it does not know");
MODULE_LICENSE("GPL");
