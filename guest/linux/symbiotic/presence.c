// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the VMM still knows this guest. A VMM that loads a snapshot, or takes this guest over
 * from another host, starts without a registration, and nothing tells the guest. So the guest
 * looks: one CPU reads SYM_MSR_GUEST every few seconds, which is one exit. A timer that may be
 * deferred wakes no idle CPU.
 *
 *   the look gives       then
 *   granted features     all is well
 *   0                    the VMM forgot the guest: it registers again. If that is refused, it looks
 * no more #GP                  there is no symbiotic VMM now: inactive, and it looks on
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/smp.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include "compat.h"
#include "internal.h"

#define SYM_LOOK_SECONDS_MAX 3600u

static unsigned int sym_look_seconds = 10;
module_param_named(look_seconds, sym_look_seconds, uint, 0444);
MODULE_PARM_DESC(look_seconds,
		 "seconds between two looks whether the VMM knows this guest (0: never)");

static void sym_presence_look(struct timer_list *timer);
static struct timer_list sym_presence_timer = __TIMER_INITIALIZER(sym_presence_look,
								  TIMER_DEFERRABLE);

/* Process context: CPUs stay as they are meanwhile. */
static void sym_presence_restore(struct work_struct *work)
{
	u64 granted;

	cpus_read_lock();
	if (sym_rdmsr_safe(sym_interface.msr_base + SYM_MSR_GUEST, &granted)) {
		if (symbiotic_active())
			pr_info("the VMM is not symbiotic any more: inactive\n");
		WRITE_ONCE(sym_interface.active, false);
	} else if (!(u32)granted) {
		if (sym_register_again()) {
			WRITE_ONCE(sym_look_seconds, 0);
		} else {
			on_each_cpu(sym_cpu_enable, NULL, 1);
			WRITE_ONCE(sym_interface.active, true);
			pr_info("the VMM did not know this guest: registered again\n");
		}
	}
	cpus_read_unlock();
}
static DECLARE_WORK(sym_presence_work, sym_presence_restore);

static void sym_presence_look(struct timer_list *timer)
{
	u64 granted;
	bool gone = sym_rdmsr_safe(sym_interface.msr_base + SYM_MSR_GUEST, &granted);

	if (gone ? symbiotic_active() : !(u32)granted)
		queue_work(sym_unbound_wq, &sym_presence_work);
	if (READ_ONCE(sym_look_seconds))
		mod_timer(timer, jiffies + sym_look_seconds * HZ);
}

/* sym_presence_start - look from now on, after the registration */
void sym_presence_start(void)
{
	sym_look_seconds = min(sym_look_seconds, SYM_LOOK_SECONDS_MAX);
	if (sym_look_seconds && sym_interface.granted)
		mod_timer(&sym_presence_timer, jiffies + sym_look_seconds * HZ);
}

/* sym_presence_stop - on return nothing registers this guest again; may be repeated, may sleep */
void sym_presence_stop(void)
{
	sym_timer_delete_sync(&sym_presence_timer);
	cancel_work_sync(&sym_presence_work);
}
