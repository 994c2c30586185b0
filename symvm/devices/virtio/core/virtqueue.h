/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The split virtqueue (VIRTIO 1.2, 2.7), the device's side, and the requests in it. The driver is
 * hostile: a broken rule fails the device, and has no other effect. All functions: the I/O loop's
 * thread (virtio.h), unless they say otherwise.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_VIRTQUEUE_H
#define SYMVM_DEVICES_VIRTIO_CORE_VIRTQUEUE_H

#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

#define VIRTIO_QUEUES_MAX     33u   /* per device; with the config change: 34 vectors */
#define VIRTIO_QUEUE_SIZE_MAX 1024u /* entries */

struct event_source;
struct virtio_device;

struct virtio_queue {
	struct virtio_device *device;
	unsigned index;
	uint16_t size_max; /* offered by the device, a power of two; may be lowered before boot */
	bool external;	   /* served by vhost: set by the device at creation; pop and push are
			    * then off limits and notified() is not called */

	/* As the driver set it up; constant while the device is active. */
	bool enabled;
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;

	int kick_fd; /* eventfd that the driver's kick signals; for vhost */
	struct event_source *kick_source;

	/* While active: the rings in host memory and our positions in them. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_next;	 /* next entry of the available ring to pop */
	uint16_t avail_seen;	 /* the driver's index when we last read it */
	uint16_t used_next;	 /* next entry of the used ring to fill */
	uint16_t used_published; /* the used index that the driver sees */
	uint16_t in_flight;	 /* popped, not yet pushed */
	bool event_idx;
	bool indirect;
	bool again; /* virtio_queue_again() was called and has not taken effect yet */

	/* Counters; written on the loop's thread, read by any. */
	_Atomic uint64_t requests;
	_Atomic uint64_t kicks;
	_Atomic uint64_t interrupts;
};

/*
 * One request of the driver: a descriptor chain, checked and translated. The parts that the device
 * reads (@out) come first, then those that it writes (@in).
 */
struct virtio_chain {
	struct iovec *iov;  /* set by the caller: room for the parts */
	unsigned iov_max;   /* set by the caller: their number; queue->size is always enough */
	unsigned out_count; /* iov[0 .. out_count) */
	unsigned in_count;  /* iov[out_count .. out_count + in_count) */
	uint64_t out_bytes;
	uint64_t in_bytes;
	uint16_t head; /* descriptor index, as the used ring wants it */
};

/*
 * Takes the next request. 1: @chain is filled; 0: there is none; negative: the queue is broken, the
 * device has failed and the log says why. Guest memory is read once.
 */
int virtio_queue_pop(struct virtio_queue *queue, struct virtio_chain *chain);
/*
 * Gives back the @count requests popped last, as if they were never popped. None of them may be
 * pushed.
 */
void virtio_queue_unpop(struct virtio_queue *queue, unsigned count);
/*
 * Answers a request; @written bytes of its in parts were written. The driver sees the answer only
 * after virtio_queue_flush(), so that a batch costs one interrupt. Requests may be answered in any
 * order.
 */
void virtio_queue_push(struct virtio_queue *queue, const struct virtio_chain *chain,
		       uint32_t written);
/* The same for the request whose virtio_chain.head is @head, if the chain is not kept. */
void virtio_queue_push_head(struct virtio_queue *queue, uint16_t head, uint32_t written);
/* Publishes the answers that were pushed, and interrupts the driver if it wants that. */
void virtio_queue_flush(struct virtio_queue *queue);
/* Asks the driver not to kick (a hint). */
void virtio_queue_notify_disable(struct virtio_queue *queue);
/* Asks for kicks again. Returns true if requests came meanwhile: pop them first. */
bool virtio_queue_notify_enable(struct virtio_queue *queue);
/* Whether pop() would find a request. */
bool virtio_queue_pending(struct virtio_queue *queue);

/* Copies from the out parts, from @offset on; returns how many bytes there were. */
size_t virtio_chain_read(const struct virtio_chain *chain, uint64_t offset, void *data,
			 size_t length);
/* Copies to the in parts, from @offset on; returns how many bytes had room. */
size_t virtio_chain_write(const struct virtio_chain *chain, uint64_t offset, const void *data,
			  size_t length);

/*
 * For virtio_device.c and for tests: checks the queue's size and addresses as the driver left them,
 * and prepares it for pop(). -EINVAL with a reason in @err. Loop thread.
 */
int virtio_queue_start(struct virtio_queue *queue, struct error *err);
/* Forgets the rings, and sets the queue back to power-on. */
void virtio_queue_stop(struct virtio_queue *queue);
/* Continues at these positions, like a saved queue that had no request in flight. */
void virtio_queue_resume(struct virtio_queue *queue, uint16_t avail_next, uint16_t used_next);

/*
 * The eventfd that raises @queue's interrupt when written, for vhost; -1 if the driver gave the
 * queue no vector. The transport owns it. Valid from activate() to reset.
 */
int virtio_queue_call_fd(struct virtio_queue *queue);

#endif
