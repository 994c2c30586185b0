/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A deferred result: an atomic call can ask for it but cannot make it. The call queues an
 * irq_work (which is NMI-safe). The irq_work queues a work, and the work makes the whole
 * result in process context. Further atomic calls copy the result out piece by piece.
 */
#ifndef SYMBIOTIC_DEFERRED_H
#define SYMBIOTIC_DEFERRED_H

#include <linux/irq_work.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

enum sym_deferred_state { SYM_DEFERRED_EMPTY, SYM_DEFERRED_WANTED, SYM_DEFERRED_READY };

struct sym_deferred {
	/*
	 * Makes the result; process context, may sleep. Sets *@data (from kvmalloc(), freed
	 * by deferred.c) and returns its length, or a negative errno.
	 */
	ssize_t (*produce)(u64 flags, void **data);
	size_t record; /* pieces are multiples of this */

	raw_spinlock_t lock; /* guards the members below; atomic calls only try it */
	enum sym_deferred_state state;
	u32 cookie;
	u64 flags;
	void *data;
	ssize_t length; /* or the error of produce() */

	struct irq_work wake;
	struct work_struct work;
	struct delayed_work expire;
};

/* For the initialiser only. */
void sym_deferred_wake(struct irq_work *wake);
void sym_deferred_work(struct work_struct *work);
void sym_deferred_expire(struct work_struct *work);

#define DEFINE_SYM_DEFERRED(name, _produce, _record)                                       \
	struct sym_deferred name = {                                                       \
		.produce = _produce,                                                       \
		.record = _record,                                                         \
		.lock = __RAW_SPIN_LOCK_UNLOCKED(name.lock),                               \
		.wake = IRQ_WORK_INIT(sym_deferred_wake),                                  \
		.work = __WORK_INITIALIZER(name.work, sym_deferred_work),                  \
		.expire = __DELAYED_WORK_INITIALIZER(name.expire, sym_deferred_expire, 0), \
	}

void sym_deferred_stop(struct sym_deferred *deferred);
s64 sym_deferred_start(struct sym_deferred *deferred, u64 flags);
s64 sym_deferred_fetch(struct sym_deferred *deferred, u64 cookie, u64 offset, void *out,
		       size_t size);

#endif
