// SPDX-License-Identifier: GPL-2.0-only
/*
 * symbiotic.ko: the guest's half of the symbiotic interface.
 *
 * Finds a symbiotic VMM by CPUID, agrees with it on version and features, and registers every CPU.
 * Without such a VMM it reports that once and stays loaded, inert, so that modules that use it can
 * load there, too.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <linux/syscore_ops.h>
#include <asm/cpufeature.h>
#ifdef SYM_HAS_CPUID_API
#include <asm/cpuid/api.h>
#endif
#include <asm/msr.h>
#include <asm/processor.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>
#include "compat.h"
#include "internal.h"

/* Not every kernel's headers have these names. */
#define SYM_CR4_CET  BIT_ULL(23)
#define SYM_CR4_FRED BIT_ULL(32)

static bool sym_started;
bool sym_panicked;

/* The first leaf of the block that has the signature, and the block's last leaf; 0: there is none.
 */
static u32 __init sym_block_find(u32 *last)
{
	u32 base, ebx, ecx, edx;

	for (base = SYM_CPUID_BASE; base <= SYM_CPUID_LAST; base += SYM_CPUID_STEP) {
		cpuid(base, last, &ebx, &ecx, &edx);
		if (ebx == SYM_SIGNATURE_EBX && ecx == SYM_SIGNATURE_ECX &&
		    edx == SYM_SIGNATURE_EDX)
			return base;
	}
	return 0;
}

/* The hypervisor bit first: bare metal answers an unknown leaf with data of another leaf. */
static bool __init sym_discover(void)
{
	u32 base, last, ecx, edx, limit;

	if (!boot_cpu_has(X86_FEATURE_HYPERVISOR))
		return false;
	base = sym_block_find(&last);
	if (!base || last < base + (SYM_CPUID_MAX - SYM_CPUID_BASE) ||
	    last >= base + SYM_CPUID_STEP)
		return false;
	cpuid(base + (SYM_CPUID_INTERFACE - SYM_CPUID_BASE), &sym_interface.version,
	      &sym_interface.msr_base, &ecx, &sym_interface.offered);
	sym_interface.port_base = ecx;
	sym_return_port = ecx + SYM_PORT_RETURN;
	cpuid(base + (SYM_CPUID_LIMITS - SYM_CPUID_BASE), &sym_interface.deadline_us, &limit, &ecx,
	      &edx);
	if (limit < SYM_MESSAGE_SIZE)
		sym_interface.offered &= ~SYM_FEATURE_SPY;
	return true;
}

/*
 * Why no call may come at an arbitrary instruction of this guest, or NULL. The VMM would refuse
 * each call, too: with FRED there is no range of RSP that marks an NMI, and with CET the entry
 * would need a shadow stack.
 */
static const char *__init sym_calls_refused(void)
{
	unsigned long cr4 = native_read_cr4();

	if (!sym_ksyms.nmi)
		return "this kernel has no ct_nmi_enter()";
	if (cr4 & SYM_CR4_FRED)
		return "FRED is on (boot with fred=off)";
	if (cr4 & SYM_CR4_CET)
		return "CET is on (boot with ibt=off nousershstk)";
	return NULL;
}

/* Those features of the VMM's offer that this kernel supports. */
static u32 __init sym_features_wanted(void)
{
	u32 wanted = sym_interface.offered & SYM_FEATURES_ALL;

	if (wanted & SYM_FEATURE_SYMCALL) {
		sym_interface.calls_refused = sym_calls_refused();
		if (sym_interface.calls_refused)
			wanted &= ~SYM_FEATURE_SYMCALL;
	}
	/* Doorbells are in the SymSpy page. */
	if (!(wanted & SYM_FEATURE_SPY))
		wanted &= ~SYM_FEATURE_SAFEPOINT;
	return wanted;
}

/* Unknown in a kernel without the symbol: then any restart may be one. */
static bool sym_kexec_starts(void)
{
	return !sym_ksyms.kexec_in_progress || READ_ONCE(*sym_ksyms.kexec_in_progress);
}

/*
 * At a shutdown no call may come while devices go. Doorbells continue, since tasks still swap. The
 * pages stay, so that the VMM sees why the guest ends; a reset takes them back. But none may
 * outlive this kernel's memory map if the next kernel starts by kexec.
 */
static int sym_reboot(struct notifier_block *block, unsigned long action, void *data)
{
	bool with_pages = action == SYS_RESTART && sym_kexec_starts();

	sym_presence_stop();
	sym_spy_boot_state(SYM_BOOT_SHUTDOWN);
	if (with_pages) {
		WRITE_ONCE(sym_interface.active, false);
		sym_spy_stop();
	}
	on_each_cpu(sym_cpus_disable, with_pages ? &with_pages : NULL, 1);
	return NOTIFY_DONE;
}

static struct notifier_block sym_reboot_block = {
	.notifier_call = sym_reboot,
	.priority = INT_MAX,
};

static int sym_panic(struct notifier_block *block, unsigned long action, void *message)
{
	WRITE_ONCE(sym_panicked, true);
	sym_spy_panic(message);
	return NOTIFY_DONE;
}

static struct notifier_block sym_panic_block = {
	.notifier_call = sym_panic,
	.priority = INT_MAX,
};

/*
 * The last step before a sleep or a hibernation image is taken, and before one is put over this
 * kernel: only this CPU is online, and its interrupts are off. Until then doorbells must work,
 * because tasks that swap in have to come to the point where they can be frozen. From then on the
 * VMM must not write to any page of this kernel.
 */
static int sym_sleep(void)
{
	sym_cpus_disable(&sym_sleep);
	sym_spy_vm_withdraw();
	return 0;
}

/* CPUs that come back register themselves. */
static void sym_wake(void)
{
	if (!sym_register_again())
		sym_cpu_enable(NULL);
}

#ifdef SYM_HAS_SYSCORE_DATA
static int sym_sleep_step(void *data)
{
	return sym_sleep();
}

static void sym_wake_step(void *data)
{
	sym_wake();
}

static const struct syscore_ops sym_sleep_ops = {
	.suspend = sym_sleep_step,
	.resume = sym_wake_step,
};

static struct syscore sym_sleep_steps = { .ops = &sym_sleep_ops };
#else
static struct syscore_ops sym_sleep_steps = {
	.suspend = sym_sleep,
	.resume = sym_wake,
};
#define register_syscore   register_syscore_ops
#define unregister_syscore unregister_syscore_ops
#endif

static int __init sym_notifiers_register(void)
{
	int error = register_reboot_notifier(&sym_reboot_block);

	if (error)
		return error;
	error = atomic_notifier_chain_register(&panic_notifier_list, &sym_panic_block);
	if (error) {
		unregister_reboot_notifier(&sym_reboot_block);
		return error;
	}
	register_syscore(&sym_sleep_steps);
	return 0;
}

static void sym_notifiers_unregister(void)
{
	unregister_syscore(&sym_sleep_steps);
	atomic_notifier_chain_unregister(&panic_notifier_list, &sym_panic_block);
	unregister_reboot_notifier(&sym_reboot_block);
}

static int __init sym_start(void)
{
	int error;

	sym_ksyms_find();
	error = sym_negotiate(sym_features_wanted());
	if (error)
		return 0; /* inert; the reason is in the log */
	error = sym_calls_register();
	if (error)
		return error;
	error = sym_spy_start();
	if (error)
		goto unregister_calls;
	error = sym_cpus_register();
	if (error)
		goto stop_spy;
	error = sym_notifiers_register();
	if (error)
		goto unregister_cpus;
	sym_started = true;
	WRITE_ONCE(sym_interface.active, true);
	sym_presence_start();
	if (sym_interface.calls_refused)
		pr_info("no calls: %s\n", sym_interface.calls_refused);
	pr_info("symbiotic VMM, ABI %u.%u, features %#x of %#x, deadline %u us\n",
		sym_interface.version >> 16, sym_interface.version & 0xffff, sym_interface.granted,
		sym_interface.offered, sym_interface.deadline_us);
	return 0;

unregister_cpus:
	sym_cpus_unregister();
stop_spy:
	sym_spy_stop();
	sym_spy_free();
unregister_calls:
	sym_calls_unregister();
	return error;
}

static void sym_stop(void)
{
	sym_notifiers_unregister();
	sym_presence_stop();
	WRITE_ONCE(sym_interface.active, false);
	/* CPUs first: once all are disabled, the VMM enters no code of this module. */
	sym_cpus_unregister();
	sym_spy_stop();
	sym_spy_free();
	sym_calls_unregister();
	sym_msr_write(SYM_MSR_GUEST, 0);
}

static int __init sym_init(void)
{
	int error;

	error = sym_sysfs_create();
	if (error)
		return error;
	if (!sym_discover()) {
		pr_info("no symbiotic VMM here: inactive\n");
		return 0;
	}
	error = sym_start();
	if (error)
		sym_sysfs_remove();
	return error;
}

static void __exit sym_exit(void)
{
	/* First, since readers of these files use the data that is freed next. */
	sym_sysfs_remove();
	if (sym_started)
		sym_stop();
}

module_init(sym_init);
module_exit(sym_exit);
MODULE_DESCRIPTION("Guest half of the symbiotic virtualization interface");
MODULE_VERSION(SYM_MODULE_VERSION);
MODULE_LICENSE("GPL");
