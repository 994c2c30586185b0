// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of calls, and the code that runs when a call comes.
 *
 * An atomic call can interrupt anything: a process in user mode, a spinlock's holder, the idle loop
 * with RCU asleep, the middle of a context switch. Linux has one context with that property, that
 * of an NMI, so a call is made to look like an NMI. Then preemption is off, RCU watches, and
 * functions that are safe in an NMI are safe here. The VMM masks real NMIs until the call returns.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include "internal.h"

enum sym_class { SYM_CLASS_ATOMIC, SYM_CLASS_SAFEPOINT, SYM_CLASS_COUNT };

struct sym_slot {
	const struct symbiotic_call *call;
	struct sym_call_stats __percpu *stats;
};

static const u32 sym_class_first[SYM_CLASS_COUNT] = { SYM_CALL_ATOMIC_FIRST,
						      SYM_CALL_SAFEPOINT_FIRST };
static const u32 sym_class_last[SYM_CLASS_COUNT] = { SYM_CALL_ATOMIC_LAST,
						     SYM_CALL_SAFEPOINT_LAST };
static const char *const sym_class_name[SYM_CLASS_COUNT] = { "atomic", "safepoint" };

static struct sym_slot __rcu *sym_slots[SYM_CLASS_COUNT][SYMBIOTIC_CALLS_MAX];
static DEFINE_MUTEX(sym_slots_lock); /* writers */

/* Calls without a slot: unknown number, wrong class. */
static DEFINE_PER_CPU(u64, sym_calls_unknown);
/* Calls that the VMM gave up and reported. */
static DEFINE_PER_CPU(u64, sym_calls_abandoned);

/*
 * Statistics need no atomic operation: on one CPU, calls of one slot cannot interrupt each other.
 * The VMM refuses a nested atomic call, and doorbells do not nest.
 */
static void sym_stats_count(struct sym_call_stats *stats, u64 ns, s64 result)
{
	stats->count++;
	if (result < 0 && result >= -MAX_ERRNO)
		stats->errors++;
	stats->total_ns += ns;
	if (stats->count == 1 || ns < stats->min_ns)
		stats->min_ns = ns;
	if (ns > stats->max_ns)
		stats->max_ns = ns;
}

/* RCU watches and preemption is off, so the slot stays until the handler returned. */
static s64 sym_dispatch(enum sym_class kind, u64 number, const struct symbiotic_request *request)
{
	const struct sym_slot *slot;
	u64 index = number - sym_class_first[kind];
	u64 start;
	s64 result;

	if (number < sym_class_first[kind] || index >= SYMBIOTIC_CALLS_MAX)
		goto unknown;
	index = array_index_nospec(index, SYMBIOTIC_CALLS_MAX);
	slot = rcu_dereference_sched(sym_slots[kind][index]);
	if (!slot)
		goto unknown;
	start = sched_clock();
	result = slot->call->handler(request);
	sym_stats_count(this_cpu_ptr(slot->stats), sched_clock() - start, result);
	return result;
unknown:
	__this_cpu_inc(sym_calls_unknown);
	return -ENOSYS;
}

static noinline s64 sym_dispatch_frame(const struct sym_entry_frame *frame)
{
	const struct sym_cpu *cpu = this_cpu_ptr(&sym_cpus);
	struct symbiotic_request request = {};
	struct sym_context context;
	unsigned int i;

	for (i = 0; i < SYM_CALL_ARGS; i++)
		request.args[i] = frame->args[i];
	if (cpu->page_shared) {
		request.message = cpu->page->message;
		if (frame->flags & SYM_ENTRY_CONTEXT) {
			context = cpu->page->host.context;
			request.context = &context;
		}
	}
	return sym_dispatch(SYM_CLASS_ATOMIC, frame->number, &request);
}

/* How far an atomic call on this CPU looks like an NMI, and the preempt count before it. */
enum sym_stage { SYM_STAGE_OUT, SYM_STAGE_COUNTED, SYM_STAGE_WATCHED };

struct sym_entered {
	enum sym_stage stage;
	u32 preempt_count;
};
static DEFINE_PER_CPU(struct sym_entered, sym_entered);

/*
 * The VMM gave up the call before this one, at any of its instructions. Effects of the handler
 * itself (locks, a counter half changed) cannot be known, and stay.
 */
static s64 sym_abandoned(struct sym_entered *entered)
{
	__this_cpu_inc(sym_calls_abandoned);
	if (entered->stage == SYM_STAGE_OUT)
		return 0;
	preempt_count_set(entered->preempt_count + NMI_OFFSET + HARDIRQ_OFFSET);
	if (entered->stage == SYM_STAGE_WATCHED)
		static_call(sym_ct_nmi_exit)();
	preempt_count_set(entered->preempt_count);
	entered->stage = SYM_STAGE_OUT;
	return 0;
}

/*
 * sym_dispatch_atomic - C side of the entry stub; the result goes to the VMM
 *
 * The preempt count changes before ct_nmi_enter(), which looks at it.
 */
__visible s64 sym_dispatch_atomic(const struct sym_entry_frame *frame)
{
	struct sym_entered *entered = this_cpu_ptr(&sym_entered);
	s64 result;

	if (frame->flags & SYM_ENTRY_ABANDONED)
		return sym_abandoned(entered);
	entered->preempt_count = preempt_count();
	WRITE_ONCE(entered->stage, SYM_STAGE_COUNTED);
	__preempt_count_add(NMI_OFFSET + HARDIRQ_OFFSET);
	static_call(sym_ct_nmi_enter)();
	WRITE_ONCE(entered->stage, SYM_STAGE_WATCHED);
	result = sym_dispatch_frame(frame);
	WRITE_ONCE(entered->stage, SYM_STAGE_COUNTED);
	static_call(sym_ct_nmi_exit)();
	__preempt_count_sub(NMI_OFFSET + HARDIRQ_OFFSET);
	WRITE_ONCE(entered->stage, SYM_STAGE_OUT);
	return result;
}
NOKPROBE_SYMBOL(sym_dispatch_atomic);

/* sym_dispatch_safepoint - serve one call inside a doorbell; preemption is off. */
s64 sym_dispatch_safepoint(u64 number, const u64 *args, void *message)
{
	struct symbiotic_request request = { .message = message };
	unsigned int i;

	for (i = 0; i < SYM_CALL_ARGS; i++)
		request.args[i] = args[i];
	return sym_dispatch(SYM_CLASS_SAFEPOINT, number, &request);
}

/* The slot of a call, or NULL with the reason in @error. */
static struct sym_slot __rcu **sym_slot_find(const struct symbiotic_call *call, int *error)
{
	unsigned int kind;

	*error = -EINVAL;
	if (!call->handler || !call->name)
		return NULL;
	for (kind = 0; kind < SYM_CLASS_COUNT; kind++) {
		if (call->number < sym_class_first[kind] || call->number > sym_class_last[kind])
			continue;
		if (call->number - sym_class_first[kind] < SYMBIOTIC_CALLS_MAX)
			return &sym_slots[kind][call->number - sym_class_first[kind]];
		*error = -ERANGE;
	}
	return NULL;
}

int symbiotic_call_register(const struct symbiotic_call *call)
{
	struct sym_slot __rcu **place;
	struct sym_slot *slot;
	int error;

	place = sym_slot_find(call, &error);
	if (!place)
		return error;
	slot = kzalloc(sizeof(*slot), GFP_KERNEL);
	if (!slot)
		return -ENOMEM;
	slot->call = call;
	slot->stats = alloc_percpu(struct sym_call_stats);
	error = slot->stats ? 0 : -ENOMEM;
	mutex_lock(&sym_slots_lock);
	if (!error && rcu_access_pointer(*place))
		error = -EEXIST;
	if (!error)
		rcu_assign_pointer(*place, slot);
	mutex_unlock(&sym_slots_lock);
	if (error) {
		free_percpu(slot->stats);
		kfree(slot);
	}
	return error;
}
EXPORT_SYMBOL_GPL(symbiotic_call_register);

void symbiotic_call_unregister(const struct symbiotic_call *call)
{
	struct sym_slot __rcu **place;
	struct sym_slot *slot;
	int error;

	place = sym_slot_find(call, &error);
	if (!place)
		return;
	mutex_lock(&sym_slots_lock);
	slot = rcu_dereference_protected(*place, lockdep_is_held(&sym_slots_lock));
	if (slot && slot->call == call)
		RCU_INIT_POINTER(*place, NULL);
	else
		slot = NULL;
	mutex_unlock(&sym_slots_lock);
	if (!slot)
		return;
	synchronize_rcu();
	if (call->stop)
		call->stop();
	free_percpu(slot->stats);
	kfree(slot);
}
EXPORT_SYMBOL_GPL(symbiotic_call_unregister);

/* Other CPUs continue to count, so the numbers of one line may differ by a call. */
static void sym_slot_show(struct seq_file *file, enum sym_class kind, const struct sym_slot *slot)
{
	struct sym_call_stats sum = { .min_ns = U64_MAX };
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		const struct sym_call_stats *stats = per_cpu_ptr(slot->stats, cpu);

		if (!READ_ONCE(stats->count))
			continue;
		sum.count += READ_ONCE(stats->count);
		sum.errors += READ_ONCE(stats->errors);
		sum.total_ns += READ_ONCE(stats->total_ns);
		sum.min_ns = min(sum.min_ns, READ_ONCE(stats->min_ns));
		sum.max_ns = max(sum.max_ns, READ_ONCE(stats->max_ns));
	}
	seq_printf(file, "0x%04x %-9s %-16s %12llu %10llu %16llu %10llu %10llu\n",
		   slot->call->number, sym_class_name[kind], slot->call->name, sum.count,
		   sum.errors, sum.total_ns, sum.count ? sum.min_ns : 0, sum.max_ns);
}

/* sym_dispatch_show - the table of calls with their statistics, for debugfs. */
void sym_dispatch_show(struct seq_file *file)
{
	unsigned int kind, index, cpu;
	u64 unknown = 0, abandoned = 0;

	seq_printf(file, "%-6s %-9s %-16s %12s %10s %16s %10s %10s\n", "number", "class", "name",
		   "count", "errors", "total_ns", "min_ns", "max_ns");
	mutex_lock(&sym_slots_lock);
	for (kind = 0; kind < SYM_CLASS_COUNT; kind++) {
		for (index = 0; index < SYMBIOTIC_CALLS_MAX; index++) {
			const struct sym_slot *slot = rcu_dereference_protected(
				sym_slots[kind][index], lockdep_is_held(&sym_slots_lock));

			if (slot)
				sym_slot_show(file, kind, slot);
		}
	}
	mutex_unlock(&sym_slots_lock);
	for_each_possible_cpu(cpu) {
		unknown += READ_ONCE(per_cpu(sym_calls_unknown, cpu));
		abandoned += READ_ONCE(per_cpu(sym_calls_abandoned, cpu));
	}
	seq_printf(file, "unknown %llu\nabandoned %llu\n", unknown, abandoned);
}
