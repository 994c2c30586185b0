// SPDX-License-Identifier: GPL-2.0-only
/* See deferred.h. */
#include <linux/mm.h>
#include "compat.h"
#include "deferred.h"

/* A result is freed this long after it was made. */
#define SYM_DEFERRED_LIFETIME (30 * HZ)

void sym_deferred_wake(struct irq_work *wake)
{
	struct sym_deferred *deferred = container_of(wake, struct sym_deferred, wake);

	queue_work(sym_percpu_wq, &deferred->work);
}

static void *sym_deferred_replace(struct sym_deferred *deferred, enum sym_deferred_state state,
				  void *data, ssize_t length)
{
	unsigned long flags;
	void *old;

	raw_spin_lock_irqsave(&deferred->lock, flags);
	old = deferred->data;
	deferred->data = data;
	deferred->length = length;
	deferred->state = state;
	raw_spin_unlock_irqrestore(&deferred->lock, flags);
	return old;
}

void sym_deferred_work(struct work_struct *work)
{
	struct sym_deferred *deferred = container_of(work, struct sym_deferred, work);
	void *data = NULL;
	ssize_t length = deferred->produce(deferred->flags, &data);

	kvfree(sym_deferred_replace(deferred, SYM_DEFERRED_READY, data, length));
	mod_delayed_work(sym_percpu_wq, &deferred->expire, SYM_DEFERRED_LIFETIME);
}

/* Frees the result, unless a new one is being made, or was made just now. */
void sym_deferred_expire(struct work_struct *work)
{
	struct sym_deferred *deferred = container_of(work, struct sym_deferred, expire.work);
	unsigned long flags;
	void *old = NULL;

	raw_spin_lock_irqsave(&deferred->lock, flags);
	if (deferred->state == SYM_DEFERRED_READY && !delayed_work_pending(&deferred->expire)) {
		deferred->state = SYM_DEFERRED_EMPTY;
		swap(old, deferred->data);
	}
	raw_spin_unlock_irqrestore(&deferred->lock, flags);
	kvfree(old);
}

/*
 * sym_deferred_stop - free the result; no call may ask for one any more. May sleep. @deferred is
 * then as it was at first.
 */
void sym_deferred_stop(struct sym_deferred *deferred)
{
	irq_work_sync(&deferred->wake);
	cancel_work_sync(&deferred->work);
	cancel_delayed_work_sync(&deferred->expire);
	kvfree(deferred->data);
	deferred->data = NULL;
	deferred->state = SYM_DEFERRED_EMPTY;
}

/*
 * sym_deferred_start - ask for a result; safe in an atomic call
 *
 * Returns its cookie (> 0), or -EBUSY while one is being made.
 */
s64 sym_deferred_start(struct sym_deferred *deferred, u64 flags)
{
	s64 result = -EBUSY;

	if (!raw_spin_trylock(&deferred->lock))
		return -EBUSY;
	if (deferred->state != SYM_DEFERRED_WANTED) {
		deferred->state = SYM_DEFERRED_WANTED;
		deferred->flags = flags;
		deferred->cookie = (deferred->cookie % S32_MAX) + 1;
		result = deferred->cookie;
	}
	raw_spin_unlock(&deferred->lock);
	if (result > 0)
		irq_work_queue(&deferred->wake);
	return result;
}

/*
 * sym_deferred_fetch - copy a piece of the result; safe in an atomic call
 *
 * Returns the bytes copied (whole records), 0 at the end; -EAGAIN while the result is being made,
 * -ESTALE if the cookie is not the current one or the result expired, -EINVAL for an offset inside
 * a record, or the error of produce().
 */
s64 sym_deferred_fetch(struct sym_deferred *deferred, u64 cookie, u64 offset, void *out,
		       size_t size)
{
	s64 result;

	if (!raw_spin_trylock(&deferred->lock))
		return -EAGAIN;
	if (deferred->state == SYM_DEFERRED_EMPTY || cookie != deferred->cookie) {
		result = -ESTALE;
	} else if (deferred->state == SYM_DEFERRED_WANTED) {
		result = -EAGAIN;
	} else if (deferred->length < 0) {
		result = deferred->length;
	} else if (offset % deferred->record) {
		result = -EINVAL;
	} else if (offset >= deferred->length) {
		result = 0;
	} else {
		result = min_t(u64, size - size % deferred->record, deferred->length - offset);
		memcpy(out, deferred->data + offset, result);
	}
	raw_spin_unlock(&deferred->lock);
	return result;
}
