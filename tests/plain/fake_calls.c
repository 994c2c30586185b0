// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls that symswap.ko answers. They are in a file of their own, with the includes of the
 * real one: the symbols' versions depend on the structures that are visible.
 */
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>
#include <linux/slab.h>
#include "internal.h"

extern const struct symbiotic_call *fake_calls[2];
const struct symbiotic_call *fake_calls[2];

int symbiotic_call_register(const struct symbiotic_call *call)
{
	WRITE_ONCE(fake_calls[call->number == SYM_CALL_SWAP_REVOKE], call);
	return 0;
}
EXPORT_SYMBOL_GPL(symbiotic_call_register);

void symbiotic_call_unregister(const struct symbiotic_call *call)
{
	WRITE_ONCE(fake_calls[call->number == SYM_CALL_SWAP_REVOKE], NULL);
	synchronize_rcu();
}
EXPORT_SYMBOL_GPL(symbiotic_call_unregister);
