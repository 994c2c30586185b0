// SPDX-License-Identifier: GPL-2.0-only
/* See stream.h. */
#include <linux/mm.h>
#include "stream.h"

/* A result that nobody fetched for so long is given back. */
#define SYM_STREAM_LIFETIME (30 * HZ)

static void sym_stream_wake(struct irq_work *wake)
{
	struct sym_stream *stream = container_of(wake, struct sym_stream, wake);

	queue_work(system_wq, &stream->work);
}

static void *sym_stream_replace(struct sym_stream *stream, enum sym_stream_state state, void *data,
				ssize_t length)
{
	unsigned long flags;
	void *old;

	raw_spin_lock_irqsave(&stream->lock, flags);
	old = stream->data;
	stream->data = data;
	stream->length = length;
	stream->state = state;
	raw_spin_unlock_irqrestore(&stream->lock, flags);
	return old;
}

static void sym_stream_work(struct work_struct *work)
{
	struct sym_stream *stream = container_of(work, struct sym_stream, work);
	void *data = NULL;
	ssize_t length = stream->produce(stream->flags, &data);

	kvfree(sym_stream_replace(stream, SYM_STREAM_READY, data, length));
	mod_delayed_work(system_wq, &stream->expire, SYM_STREAM_LIFETIME);
}

/* A new listing may be in the making, or have just been made: that one stays. */
static void sym_stream_expire(struct work_struct *work)
{
	struct sym_stream *stream = container_of(work, struct sym_stream, expire.work);
	unsigned long flags;
	void *old = NULL;

	raw_spin_lock_irqsave(&stream->lock, flags);
	if (stream->state == SYM_STREAM_READY && !delayed_work_pending(&stream->expire)) {
		stream->state = SYM_STREAM_EMPTY;
		swap(old, stream->data);
	}
	raw_spin_unlock_irqrestore(&stream->lock, flags);
	kvfree(old);
}

void sym_stream_init(struct sym_stream *stream, ssize_t (*produce)(u64 flags, void **data),
		     size_t record)
{
	memset(stream, 0, sizeof(*stream));
	stream->produce = produce;
	stream->record = record;
	raw_spin_lock_init(&stream->lock);
	init_irq_work(&stream->wake, sym_stream_wake);
	INIT_WORK(&stream->work, sym_stream_work);
	INIT_DELAYED_WORK(&stream->expire, sym_stream_expire);
}

/* sym_stream_exit - no call may start the stream any more. May sleep. */
void sym_stream_exit(struct sym_stream *stream)
{
	irq_work_sync(&stream->wake);
	cancel_work_sync(&stream->work);
	cancel_delayed_work_sync(&stream->expire);
	kvfree(stream->data);
	stream->data = NULL;
}

/*
 * sym_stream_start - ask for a result; safe in an atomic call
 *
 * Returns its cookie (> 0), or -EBUSY while one is being made.
 */
s64 sym_stream_start(struct sym_stream *stream, u64 flags)
{
	s64 result = -EBUSY;

	if (!raw_spin_trylock(&stream->lock))
		return -EBUSY;
	if (stream->state != SYM_STREAM_WANTED) {
		stream->state = SYM_STREAM_WANTED;
		stream->flags = flags;
		stream->cookie = (stream->cookie % S32_MAX) + 1;
		result = stream->cookie;
	}
	raw_spin_unlock(&stream->lock);
	if (result > 0)
		irq_work_queue(&stream->wake);
	return result;
}

/*
 * sym_stream_fetch - copy a piece of the result; safe in an atomic call
 *
 * Returns the bytes copied (whole records), 0 at the end; -EAGAIN while it is being
 * made, -ESTALE for another cookie than the current one's, -EINVAL for an offset
 * inside a record, or the error that making it ended with.
 */
s64 sym_stream_fetch(struct sym_stream *stream, u64 cookie, u64 offset, void *out, size_t size)
{
	s64 result;

	if (!raw_spin_trylock(&stream->lock))
		return -EAGAIN;
	if (stream->state == SYM_STREAM_EMPTY || cookie != stream->cookie) {
		result = -ESTALE;
	} else if (stream->state == SYM_STREAM_WANTED) {
		result = -EAGAIN;
	} else if (stream->length < 0) {
		result = stream->length;
	} else if (offset % stream->record) {
		result = -EINVAL;
	} else if (offset >= stream->length) {
		result = 0;
	} else {
		result = min_t(u64, size - size % stream->record, stream->length - offset);
		memcpy(out, stream->data + offset, result);
	}
	raw_spin_unlock(&stream->lock);
	return result;
}
