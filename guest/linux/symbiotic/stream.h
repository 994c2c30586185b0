/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stream: a result that an atomic call can ask for but not make. The call queues an
 * irq_work (which is NMI-safe), that queues a work, and the work makes the whole
 * result in process context; further atomic calls copy it out piece by piece.
 */
#ifndef SYMBIOTIC_STREAM_H
#define SYMBIOTIC_STREAM_H

#include <linux/irq_work.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

enum sym_stream_state { SYM_STREAM_EMPTY, SYM_STREAM_WANTED, SYM_STREAM_READY };

struct sym_stream {
	/*
	 * Makes the result; process context, may sleep. Sets *@data (from kvmalloc(), freed
	 * by the stream) and returns its length, or a negative errno.
	 */
	ssize_t (*produce)(u64 flags, void **data);
	size_t record; /* pieces are multiples of this */

	raw_spinlock_t lock; /* below; atomic calls only try it */
	enum sym_stream_state state;
	u32 cookie;
	u64 flags;
	void *data;
	ssize_t length; /* or the error of produce() */

	struct irq_work wake;
	struct work_struct work;
	struct delayed_work expire;
};

void sym_stream_init(struct sym_stream *stream, ssize_t (*produce)(u64 flags, void **data),
		     size_t record);
void sym_stream_exit(struct sym_stream *stream);
s64 sym_stream_start(struct sym_stream *stream, u64 flags);
s64 sym_stream_fetch(struct sym_stream *stream, u64 cookie, u64 offset, void *out, size_t size);

#endif
