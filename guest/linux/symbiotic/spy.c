// SPDX-License-Identifier: GPL-2.0-only
/*
 * SymSpy: shared pages in which this guest publishes its state for the VMM, and the VMM its state
 * for the guest. The other side reads them without an exit.
 *
 * One side writes each part, with a sequence word that is odd while it writes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/timer.h>
#include <linux/tracepoint.h>
#include <linux/utsname.h>
#include "compat.h"
#include "internal.h"

static bool sym_trace_switch = true;
module_param_named(trace_switch, sym_trace_switch, bool, 0444);
MODULE_PARM_DESC(trace_switch, "publish the current task of each CPU at every context switch");

static struct sym_spy_vm *sym_spy_vm;
static DEFINE_RAW_SPINLOCK(sym_spy_vm_lock); /* to write the guest's part */
static struct tracepoint *sym_switch_tracepoint;

static void sym_spy_update(struct timer_list *timer);
static struct timer_list sym_spy_timer = __TIMER_INITIALIZER(sym_spy_update, TIMER_DEFERRABLE);

static void sym_spy_seq_begin(u32 *seq)
{
	WRITE_ONCE(*seq, *seq + 1);
	smp_wmb();
}

static void sym_spy_seq_end(u32 *seq)
{
	smp_wmb();
	WRITE_ONCE(*seq, *seq + 1);
}

/* Once a second while the guest is awake. Any context. */
static void sym_spy_publish(void)
{
	struct sym_spy_vm_guest *guest = &sym_spy_vm->guest;
	struct sym_meminfo info;
	unsigned long flags;

	symbiotic_meminfo(&info);
	raw_spin_lock_irqsave(&sym_spy_vm_lock, flags);
	sym_spy_seq_begin(&guest->seq);
	guest->cpus_online = num_online_cpus();
	guest->mem_total = info.mem_total;
	guest->mem_free = info.mem_free;
	guest->mem_available = info.mem_available;
	guest->swap_total = info.swap_total;
	guest->swap_free = info.swap_free;
	guest->swap_in = info.swap_in;
	guest->swap_out = info.swap_out;
	guest->refault_file = global_node_page_state(WORKINGSET_REFAULT_FILE);
	guest->updated_ns = ktime_get_ns();
	sym_spy_seq_end(&guest->seq);
	raw_spin_unlock_irqrestore(&sym_spy_vm_lock, flags);
}

/*
 * A deferrable timer waits until something else wakes its CPU. And it publishes in place: a worker
 * would cost a wakened, nearly idle guest more exits (its tick runs until the worker sleeps again).
 */
static void sym_spy_update(struct timer_list *timer)
{
	sym_spy_publish();
	mod_timer(timer, jiffies + HZ);
}

/* One word, so it needs no sequence. Any context. */
void sym_spy_boot_state(u32 state)
{
	if (sym_spy_vm)
		WRITE_ONCE(sym_spy_vm->guest.boot_state, state);
}

/* sym_spy_panic - publish a panic: first the text, then the state that announces it. */
void sym_spy_panic(const char *message)
{
	if (!sym_spy_vm)
		return;
	strscpy(sym_spy_vm->panic, message ?: "", sizeof(sym_spy_vm->panic));
	smp_wmb();
	sym_spy_boot_state(SYM_BOOT_PANIC);
}

/*
 * sym_spy_host_read - a consistent copy of the VMM's part of the VM page
 *
 * Returns false if there is no such part, or the VMM writes all the time.
 */
bool sym_spy_host_read(struct sym_spy_vm_host *out)
{
	const struct sym_spy_vm_host *host;
	unsigned int tries;
	u32 seq;

	if (!symbiotic_active() || !sym_spy_vm)
		return false;
	host = &sym_spy_vm->host;
	for (tries = 0; tries < 1000; tries++) {
		seq = READ_ONCE(host->seq);
		smp_rmb();
		*out = *host;
		smp_rmb();
		if (!(seq & 1) && READ_ONCE(host->seq) == seq)
			return out->magic == SYM_SPY_VM_MAGIC;
		cpu_relax();
	}
	return false;
}

u64 symbiotic_swap_window(unsigned int index)
{
	struct sym_spy_vm_host host;

	if (index >= ARRAY_SIZE(host.swap_windows) || !(sym_interface.granted & SYM_FEATURE_SWAP) ||
	    !sym_spy_host_read(&host))
		return 0;
	return host.swap_windows[index];
}
EXPORT_SYMBOL_GPL(symbiotic_swap_window);

/* Runs at each context switch of this CPU, with its runqueue locked. */
static void sym_spy_switch(void *data, bool preempt, struct task_struct *prev,
			   struct task_struct *next, unsigned int prev_state)
{
	const struct sym_cpu *cpu = this_cpu_ptr(&sym_cpus);
	struct sym_spy_vcpu_guest *guest;

	if (!cpu->page_shared)
		return;
	guest = &cpu->page->guest;
	sym_spy_seq_begin(&guest->seq);
	guest->pid = next->pid;
	guest->tgid = next->tgid;
	memcpy(guest->comm, next->comm, sizeof(guest->comm));
	guest->comm[sizeof(guest->comm) - 1] = '\0';
	guest->switches++;
	sym_spy_seq_end(&guest->seq);
}

static void sym_spy_tracepoint_match(struct tracepoint *tracepoint, void *found)
{
	if (!strcmp(tracepoint->name, "sched_switch"))
		*(struct tracepoint **)found = tracepoint;
}

static void sym_spy_trace_start(void)
{
	struct tracepoint *found = NULL;

	if (!sym_trace_switch)
		return;
	for_each_kernel_tracepoint(sym_spy_tracepoint_match, &found);
	if (!found || tracepoint_probe_register(found, sym_spy_switch, NULL)) {
		pr_info("no sched_switch tracepoint: the current task is published by calls "
			"only\n");
		return;
	}
	sym_switch_tracepoint = found;
}

static void sym_spy_trace_stop(void)
{
	if (!sym_switch_tracepoint)
		return;
	tracepoint_probe_unregister(sym_switch_tracepoint, sym_spy_switch, NULL);
	tracepoint_synchronize_unregister();
	sym_switch_tracepoint = NULL;
}

/* sym_spy_vm_register - give the VMM the address of the VM's page; again after a resume. */
int sym_spy_vm_register(void)
{
	if (!sym_spy_vm)
		return 0;
	return sym_msr_write(SYM_MSR_SPY_VM, virt_to_phys(sym_spy_vm) | SYM_SPY_ENABLE);
}

/* sym_spy_vm_withdraw - the VMM does not use the VM's page from now on. Any context. */
void sym_spy_vm_withdraw(void)
{
	if (sym_spy_vm)
		sym_msr_write(SYM_MSR_SPY_VM, 0);
}

/* sym_spy_start - publish, if the VMM granted it. May sleep. */
int sym_spy_start(void)
{
	struct sym_spy_vm_guest *guest;
	int error;

	if (!(sym_interface.granted & SYM_FEATURE_SPY))
		return 0;
	sym_spy_vm = (void *)get_zeroed_page(GFP_KERNEL);
	if (!sym_spy_vm)
		return -ENOMEM;
	guest = &sym_spy_vm->guest;
	guest->version = SYM_ABI_VERSION;
	guest->boot_state = SYM_BOOT_RUNNING;
	snprintf(guest->os, sizeof(guest->os), "%.9s %.53s", init_utsname()->sysname,
		 init_utsname()->release);
	sym_spy_publish();
	error = sym_spy_vm_register();
	if (error) {
		pr_warn("the VMM refused the VM's page (%d)\n", error);
		free_page((unsigned long)sym_spy_vm);
		sym_spy_vm = NULL;
		sym_interface.granted &= ~(SYM_FEATURE_SPY | SYM_FEATURE_SAFEPOINT);
		return 0;
	}
	mod_timer(&sym_spy_timer, jiffies + HZ);
	sym_spy_trace_start();
	return 0;
}

/*
 * sym_spy_stop - take the VM's page back and stop publishing
 *
 * May be repeated; may sleep. The memory stays until sym_spy_free(), for code that still reads it.
 */
void sym_spy_stop(void)
{
	if (!sym_spy_vm)
		return;
	sym_spy_trace_stop();
	sym_timer_delete_sync(&sym_spy_timer);
	sym_spy_vm_withdraw();
}

/* sym_spy_free - after sym_spy_stop(), when nothing calls into this file any more. */
void sym_spy_free(void)
{
	free_page((unsigned long)sym_spy_vm);
	sym_spy_vm = NULL;
}
