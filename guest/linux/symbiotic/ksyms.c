// SPDX-License-Identifier: GPL-2.0-only
/* Kernel symbols that are not exported, looked up by name. Each may be missing. */
#include <linux/export.h>
#include <linux/kprobes.h>
#include "internal.h"

struct sym_ksyms sym_ksyms __ro_after_init;

/*
 * kallsyms_lookup_name() itself is not exported, but a kprobe gives its address. The probe is
 * registered disabled, so no kernel text is patched. If the kernel has IBT, the address is behind
 * the ENDBR, which sym_ksyms_call() does not need.
 */
static unsigned long find_kallsyms_lookup_name(void)
{
	struct kprobe probe = {
		.symbol_name = "kallsyms_lookup_name",
		.flags = KPROBE_FLAG_DISABLED,
	};

	if (register_kprobe(&probe))
		return 0;
	unregister_kprobe(&probe);
	return (unsigned long)probe.addr;
}

static unsigned long find(unsigned long lookup, const char *name)
{
	return sym_ksyms_call(lookup, (unsigned long)name);
}

void __init sym_ksyms_find(void)
{
	unsigned long lookup = find_kallsyms_lookup_name();

	if (!lookup) {
		pr_warn("kallsyms_lookup_name() not found: atomic calls are off\n");
		return;
	}
	sym_ksyms.ct_nmi_enter = find(lookup, "ct_nmi_enter");
	sym_ksyms.ct_nmi_exit = find(lookup, "ct_nmi_exit");
	sym_ksyms.total_swap_pages = (const long *)find(lookup, "total_swap_pages");
	sym_ksyms.psi_system = (const struct psi_group *)find(lookup, "psi_system");
	sym_ksyms.kexec_in_progress = (const bool *)find(lookup, "kexec_in_progress");
	sym_ksyms.sched_text_start = find(lookup, "__sched_text_start");
	sym_ksyms.sched_text_end = find(lookup, "__sched_text_end");
	if (!sym_ksyms.ct_nmi_enter || !sym_ksyms.ct_nmi_exit)
		pr_warn("ct_nmi_enter() not found: atomic calls are off\n");
}

unsigned long symbiotic_kernel_symbol(const char *name)
{
	unsigned long lookup = find_kallsyms_lookup_name();

	return lookup ? find(lookup, name) : 0;
}
EXPORT_SYMBOL_GPL(symbiotic_kernel_symbol);
