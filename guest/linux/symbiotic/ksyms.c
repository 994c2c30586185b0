// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel symbols that are not exported, looked up by name. Each may be missing.
 *
 * The kernel may have sealed the ENDBR of such a function, since nothing in the kernel calls it
 * indirectly. A static call is a direct one, so it needs no ENDBR.
 */
#include <linux/export.h>
#include <linux/kprobes.h>
#include <linux/static_call.h>
#include <asm/ibt.h>
#include "internal.h"

struct sym_ksyms sym_ksyms __ro_after_init;

/* Only its type matters: this declaration has no definition. */
unsigned long sym_type_lookup(const char *name);

DEFINE_STATIC_CALL_NULL(sym_lookup, sym_type_lookup);
DEFINE_STATIC_CALL_NULL(sym_ct_nmi_enter, sym_type_nmi);
DEFINE_STATIC_CALL_NULL(sym_ct_nmi_exit, sym_type_nmi);

/*
 * kallsyms_lookup_name() itself is not exported, but a kprobe gives its address. The probe is
 * registered disabled, so no kernel text is patched. It goes behind an ENDBR at the function's
 * start.
 */
static unsigned long find_kallsyms_lookup_name(void)
{
	struct kprobe probe = {
		.symbol_name = "kallsyms_lookup_name",
		.flags = KPROBE_FLAG_DISABLED,
	};
	unsigned long address;

	if (register_kprobe(&probe))
		return 0;
	unregister_kprobe(&probe);
	address = (unsigned long)probe.addr;
	if (IS_ALIGNED(address - ENDBR_INSN_SIZE, 16))
		address -= ENDBR_INSN_SIZE;
	return address;
}

unsigned long symbiotic_kernel_symbol(const char *name)
{
	return sym_ksyms.lookup ? static_call(sym_lookup)(name) : 0;
}
EXPORT_SYMBOL_GPL(symbiotic_kernel_symbol);

static void __init sym_ksyms_find_nmi(void)
{
	unsigned long enter = symbiotic_kernel_symbol("ct_nmi_enter");
	unsigned long exit = symbiotic_kernel_symbol("ct_nmi_exit");

	if (!enter || !exit) {
		pr_warn("ct_nmi_enter() not found: atomic calls are off\n");
		return;
	}
	static_call_update(sym_ct_nmi_enter, (void *)enter);
	static_call_update(sym_ct_nmi_exit, (void *)exit);
	sym_ksyms.nmi = true;
}

void __init sym_ksyms_find(void)
{
	unsigned long lookup = find_kallsyms_lookup_name();

	if (!lookup) {
		pr_warn("kallsyms_lookup_name() not found: atomic calls are off\n");
		return;
	}
	static_call_update(sym_lookup, (void *)lookup);
	sym_ksyms.lookup = true;
	sym_ksyms_find_nmi();
	sym_ksyms.total_swap_pages = (const long *)symbiotic_kernel_symbol("total_swap_pages");
	sym_ksyms.psi_system = (const struct psi_group *)symbiotic_kernel_symbol("psi_system");
	sym_ksyms.psi_disabled = (const struct static_key *)symbiotic_kernel_symbol("psi_disabled");
	sym_ksyms.kexec_in_progress = (const bool *)symbiotic_kernel_symbol("kexec_in_progress");
	sym_ksyms.sched_text_start = symbiotic_kernel_symbol("__sched_text_start");
	sym_ksyms.sched_text_end = symbiotic_kernel_symbol("__sched_text_end");
}
