// SPDX-License-Identifier: GPL-2.0-only
/*
 * A user of symbiotic.ko's interface for modules, for the tests. It rings doorbells, in which
 * symbiotic-storm calls back, and answers calls of its own. Loading it is the test:
 * modprobe fails if there was any error.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <symbiotic/abi.h>
#include <symbiotic/symbiotic.h>

/* As in storm.h, for the VMM of this test. */
#define PROBE_CALL     (SYM_CALL_SAFEPOINT_FIRST + 0x10)
#define PROBE_ATOMIC   (SYM_CALL_ATOMIC_FIRST + 0x80)
#define PROBE_DOORBELL 7
#define PROBE_CALLS    3

static uint count = 2000;
module_param(count, uint, 0444);

static DEFINE_SPINLOCK(probe_lock);
static u64 probe_served;
static u64 probe_wrong;

/* The promises of the safepoint class: task context, preemption off, interrupts on, RCU. */
static s64 probe_call(const struct symbiotic_request *request)
{
	u64 nested = 0;

	if (!in_task() || preemptible() || irqs_disabled() || !rcu_is_watching())
		probe_wrong++;
	if (symbiotic_doorbell(PROBE_DOORBELL, &nested, 1, NULL) != -EBUSY)
		probe_wrong++;
	spin_lock(&probe_lock);
	probe_served++;
	spin_unlock(&probe_lock);
	return request->args[0] ^ 0x55;
}

/* The atomic class: as in an NMI. Takes the milliseconds that the call names, 2000 at most. */
static s64 probe_atomic(const struct symbiotic_request *request)
{
	mdelay(min_t(u64, request->args[0], 2000));
	return in_nmi() && irqs_disabled() && rcu_is_watching() ? 1 : -EPROTO;
}

static const struct symbiotic_call calls[] = {
	{PROBE_CALL, "probe", THIS_MODULE, probe_call},
	{PROBE_ATOMIC, "probe-atomic", THIS_MODULE, probe_atomic},
};

static int probe_refusals(void)
{
	const struct symbiotic_call outside = {0x2000, "outside", THIS_MODULE, probe_call};
	const struct symbiotic_call beyond = {SYM_CALL_SAFEPOINT_LAST, "beyond", THIS_MODULE,
					      probe_call};
	const u64 request[8] = {};

	if (symbiotic_call_register(&outside) != -EINVAL ||
	    symbiotic_call_register(&beyond) != -ERANGE ||
	    symbiotic_call_register(&calls[0]) != -EEXIST)
		return -EINVAL;
	if (symbiotic_doorbell(PROBE_DOORBELL, request, 7, NULL) != -EINVAL)
		return -EINVAL;
	return 0;
}

static int probe_ring(u64 n)
{
	const u64 request[2] = {n, n + 1};
	s64 verdict = 0;
	int error = symbiotic_doorbell(PROBE_DOORBELL, request, ARRAY_SIZE(request), &verdict);

	if (error)
		return error;
	/* The VMM adds up the answers of its calls: PROBE_CALLS times this one's, and a ping. */
	return verdict == PROBE_CALLS * (s64)(n ^ 0x55) + (s64)(n + n + 1) ? 0 : -EPROTO;
}

static int __init probe_init(void)
{
	unsigned int i;
	int error;

	error = symbiotic_call_register(&calls[0]);
	if (error)
		return error;
	error = symbiotic_call_register(&calls[1]);
	if (error)
		goto unregister;
	if (!symbiotic_active()) {
		error = symbiotic_doorbell(PROBE_DOORBELL, NULL, 0, NULL) == -ENODEV ? 0 : -EINVAL;
		pr_info("inactive: %d\n", error);
		goto out;
	}
	error = probe_refusals();
	for (i = 0; i < count && !error; i++)
		error = probe_ring(i);
	if (!error && (probe_wrong || probe_served != (u64)count * PROBE_CALLS))
		error = -EPROTO;
	pr_info("%u doorbells, %llu calls served, %llu wrong: %d\n", i, probe_served, probe_wrong,
		error);
out:
	if (!error)
		return 0;
	symbiotic_call_unregister(&calls[1]);
unregister:
	symbiotic_call_unregister(&calls[0]);
	return error;
}

static void __exit probe_exit(void)
{
	symbiotic_call_unregister(&calls[1]);
	symbiotic_call_unregister(&calls[0]);
}

module_init(probe_init);
module_exit(probe_exit);
MODULE_DESCRIPTION("Test of the interface for modules of symbiotic.ko");
MODULE_LICENSE("GPL");
