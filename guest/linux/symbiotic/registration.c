// SPDX-License-Identifier: GPL-2.0-only
/* The guest as a whole registers with the VMM. cpu.c registers each CPU. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>
#include <asm/msr.h>
#include "compat.h"
#include "internal.h"

/*
 * sym_negotiate - tell the VMM this guest's version, and which of its features this guest wants
 *
 * Returns 0 or a negative errno, which is in the log.
 */
int sym_negotiate(u32 wanted)
{
	u64 granted;
	int error;

	if (sym_interface.version >> 16 != SYM_ABI_MAJOR) {
		pr_warn("the VMM speaks ABI %u.%u, this module %u.%u: inactive\n",
			sym_interface.version >> 16, sym_interface.version & 0xffff, SYM_ABI_MAJOR,
			SYM_ABI_MINOR);
		return -EPROTONOSUPPORT;
	}
	error = sym_msr_write(SYM_MSR_GUEST, (u64)SYM_ABI_VERSION << 32 | wanted);
	if (!error)
		error = sym_rdmsr_safe(sym_interface.msr_base + SYM_MSR_GUEST, &granted);
	if (error) {
		pr_warn("the VMM refused this guest (%d): inactive\n", error);
		return error;
	}
	sym_interface.granted = (u32)granted & wanted;
	return 0;
}

/*
 * sym_register_again - the VMM may be another one now, or have lost the registration
 *
 * For the VM as a whole; each CPU registers itself afterwards. Any context. Returns 0 or a negative
 * errno.
 */
int sym_register_again(void)
{
	int error = sym_negotiate(sym_interface.granted);

	if (error)
		WRITE_ONCE(sym_interface.active, false);
	else
		sym_spy_vm_register();
	return error;
}
