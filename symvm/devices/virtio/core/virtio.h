/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices (VIRTIO 1.2, modern only) in three layers: a device type (blk,
 * net, ...) is one file with a struct virtio_ops; the split queue is queue.c;
 * the transport is pci.c. A device type sees neither registers nor PCI.
 *
 * Threads. Whatever touches a running queue runs on vm->io_loop's thread: the
 * ops activate, notified, quiesce and reset, and the functions virtio_queue_*()
 * and virtio_chain_*(). The exceptions say so. No lock is held during these
 * ops, and none is needed for what only they touch.
 *
 * Life of a device. virtio_device_create() makes it known to the VM. The driver
 * sets it up and says DRIVER_OK: activate(), then notified() once for each queue
 * and whenever the driver kicks. A driver's reset: quiesce(), later, when busy() says no,
 * reset(). Then again activate(), and so on. destroy() at the end, after quiesce() and reset().
 *
 * A typical notified(). It has a budget, because a guest can keep a queue full for ever, and
 * other devices, consoles and timers share the thread:
 *
 *	unsigned budget = BUDGET;
 *
 *	do {
 *		virtio_queue_notify_disable(queue);
 *		while (budget && virtio_queue_pop(queue, &chain) > 0) {
 *			... virtio_chain_read(), virtio_chain_write() ...
 *			virtio_queue_push(queue, &chain, written);
 *			budget--;
 *		}
 *		virtio_queue_flush(queue);
 *		if (!budget) {
 *			virtio_queue_again(queue);
 *			return;
 *		}
 *	} while (virtio_queue_notify_enable(queue));
 */
#ifndef SYMVM_DEVICES_VIRTIO_H
#define SYMVM_DEVICES_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "machine/device.h"
#include "util/error.h"
#include "util/serialize.h"

#define VIRTIO_QUEUES_MAX     33u   /* per device; with the config change: 34 vectors */
#define VIRTIO_QUEUE_SIZE_MAX 1024u /* entries */

struct event_source;
struct vm;
struct virtio_device;
struct virtio_transport;
struct virtio_queue_state;

struct virtio_queue {
	struct virtio_device *device;
	unsigned index;
	uint16_t size_max; /* what the device offers, a power of two; may be lowered before boot */
	bool external;	   /* served by vhost: set by the device at creation; pop and push are
			    * then off limits and notified() is not called */

	/* As the driver set it up; constant while the device is active. */
	bool enabled;
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;

	int kick_fd; /* eventfd that the driver's kick signals; for vhost */
	struct event_source *kick_source;

	/* While active: the rings in host memory and where we are in them. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_next;	 /* next entry of the available ring to pop */
	uint16_t avail_seen;	 /* the driver's index when we last looked */
	uint16_t used_next;	 /* next entry of the used ring to fill */
	uint16_t used_published; /* the used index that the driver sees */
	uint16_t in_flight;	 /* popped, not yet pushed */
	bool event_idx;
	bool indirect;
	bool again; /* virtio_queue_again() was called and has not come to pass */

	/* Counters; written on the loop's thread, read by any. */
	_Atomic uint64_t requests;
	_Atomic uint64_t kicks;
	_Atomic uint64_t interrupts;
};

/*
 * One request of the driver: a descriptor chain, checked and translated. First
 * the parts that the device reads (@out), then those it writes (@in).
 */
struct virtio_chain {
	struct iovec *iov;  /* set by the caller: room for the parts */
	unsigned iov_max;   /* set by the caller: how many; queue->size is always enough */
	unsigned out_count; /* iov[0 .. out_count) */
	unsigned in_count;  /* iov[out_count .. out_count + in_count) */
	uint64_t out_bytes;
	uint64_t in_bytes;
	uint16_t head; /* descriptor index, as the used ring wants it */
};

struct virtio_ops {
	const char *name;    /* "virtio-blk" */
	uint16_t id;	     /* VIRTIO_ID_* */
	uint32_t class_code; /* PCI class, 24 bits: 0x018000 mass storage, 0x020000 ethernet,
			      * 0x078000 communication, 0x100000 entropy (as other) */
	uint32_t version;    /* of the state that save() writes */

	/* Optional: as device_ops.start. */
	int (*start)(struct virtio_device *device, struct error *err);
	/*
	 * DRIVER_OK: device->features are the negotiated ones and the enabled queues
	 * are ready. A negative value fails the device (it then needs a reset).
	 */
	int (*activate)(struct virtio_device *device);
	/* The driver kicked @queue (never one that is external or not enabled). */
	void (*notified)(struct virtio_device *device, struct virtio_queue *queue);
	/*
	 * Stops: begins nothing new, completes or abandons what can be at once. Must not wait for
	 * anything. Once busy() says no, neither this process nor the kernel on its behalf
	 * touches guest memory for this device until the next resume() or activate(). Optional.
	 */
	void (*quiesce)(struct virtio_device *device);
	/*
	 * Whether something is still under way that may touch guest memory. When that ends
	 * after a quiesce(), the device calls virtio_device_idle(). Optional: nothing ever is.
	 */
	bool (*busy)(struct virtio_device *device);
	/*
	 * Goes with busy(): completes what ended, and waits at most @ms milliseconds for it. On
	 * the loop's thread @ms is 0. Else the loop does not run.
	 */
	void (*wait)(struct virtio_device *device, unsigned ms);
	/*
	 * Goes with busy(): whether a request under way has a part in the host memory
	 * [@memory, @memory + @length).
	 */
	bool (*holds)(struct virtio_device *device, const void *memory, uint64_t length);
	/*
	 * The VM continues after a quiesce() for a save: external queues are served again. Then
	 * comes notified() for each other queue. Optional.
	 */
	void (*resume)(struct virtio_device *device);
	/* Optional: as device_ops.resumed: the vCPUs run again after a pause. */
	void (*resumed)(struct virtio_device *device);
	/* Back to power-on; comes after quiesce(). Queues are already gone. Optional. */
	void (*reset)(struct virtio_device *device);
	/* Optional: the machine's reset, not the driver's; after reset(). vCPUs stopped. */
	void (*power_on)(struct virtio_device *device);
	/* Frees the device's resources and @device itself. Main thread, nothing runs any more. */
	void (*destroy)(struct virtio_device *device);

	/*
	 * Optional: the driver wrote [@offset, @offset + @length) of the device's config space (in
	 * bounds). vCPU threads; may take locks of its own, not wait for the loop.
	 */
	void (*config_written)(struct virtio_device *device, unsigned offset, const void *data,
			       unsigned length);

	/* Optional: state beyond config space, features and queues. vCPUs stopped, quiesced. */
	int (*save)(struct virtio_device *device, struct serialize_writer *writer);
	int (*load)(struct virtio_device *device, struct serialize_reader *reader,
		    uint32_t version);
	/* Optional: more for `symvm info`; queue counters are there already. Any thread. */
	void (*describe)(struct virtio_device *device, json_t *object);
};

/* Embedded as first member in each virtio device's own structure. */
struct virtio_device {
	struct device device;
	struct device_ops device_ops; /* made from ops; what device.ops points to */
	const struct virtio_ops *ops;
	struct vm *vm;
	struct virtio_transport *transport;
	uint64_t features_offered;
	uint64_t features; /* negotiated; valid from activate() on */
	unsigned queue_count;
	struct virtio_queue *queues;
	_Atomic bool active;			  /* between activate() and the next reset */
	_Atomic bool failed;			  /* needs a reset by the driver */
	_Atomic bool saved;			  /* quiesced for a save, until the VM goes on */
	_Atomic bool stopping;			  /* quiesced for a reset that waits for busy() */
	bool settled;				  /* between virtio_devices_let_go() and _go_on() */
	const struct virtio_queue_state *loading; /* where queues go on while a saved state is being
						   * taken over; else NULL */

	pthread_mutex_t config_lock; /* a leaf: guards config and config_generation */
	uint8_t *config;
	unsigned config_size;
	uint8_t config_generation;
};

/*
 * Makes @device (zeroed, allocated by the caller) a device of @vm: gives it
 * @queue_count queues of @queue_size entries, @config_size bytes of config space with the
 * contents @config, a PCI function, and a name from @prefix ("disk" gives "disk0").
 * @features: device feature bits; VERSION_1, EVENT_IDX and INDIRECT_DESC are added. On
 * success the VM owns it (ops->destroy frees it); on failure the caller still does. Main
 * thread, before the vCPUs run.
 */
int virtio_device_create(struct vm *vm, struct virtio_device *device, const struct virtio_ops *ops,
			 const char *prefix, uint64_t features, unsigned queue_count,
			 uint16_t queue_size, const void *config, unsigned config_size,
			 struct error *err);

static inline bool virtio_device_has_feature(const struct virtio_device *device, unsigned bit)
{
	return device->features & (1ull << bit);
}

/*
 * The driver broke the rules or the host failed: marks the device as needing a reset,
 * tells the driver by a config interrupt, and logs one line. Queues give nothing
 * more from then on. Any thread.
 */
void virtio_device_fail(struct virtio_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Changes config space and raises the config change interrupt. Any thread. */
void virtio_device_config_update(struct virtio_device *device, unsigned offset, const void *data,
				 unsigned length);

/* The same without the interrupt. Any thread. */
void virtio_device_config_store(struct virtio_device *device, unsigned offset, const void *data,
				unsigned length);

/*
 * Before host memory [@memory, @memory + @length) stops being the guest's: all virtio devices of
 * @vm give back what they hold of it. -EBUSY where a ring lies there, which must stay; -EAGAIN
 * where a request under way has a part there. Does not wait. After 0 virtio_devices_go_on() must
 * follow: then devices look at their queues again. Loop thread.
 */
int virtio_devices_let_go(struct vm *vm, const void *memory, uint64_t length);
void virtio_devices_go_on(struct vm *vm);
/* Deactivates all virtio devices of @vm, as their driver's reset would. See transport.h. */
void virtio_devices_stop(struct vm *vm);

/*
 * Adds where the driver notifies queues: ports that KVM answers by ioeventfds, so that no exit
 * reaches the VMM. Any thread.
 */
void virtio_transport_describe(struct virtio_device *device, json_t *object);

/*
 * The eventfd that raises @queue's interrupt when written, for vhost; -1 where the driver
 * gave the queue no vector. Valid from activate() to reset. Loop thread.
 */
int virtio_queue_call_fd(struct virtio_queue *queue);

/*
 * Calls ops->notified() for @queue as if the driver had kicked it, if the device is active and
 * not quiesced. Loop thread.
 */
void virtio_queue_run(struct virtio_queue *queue);
/*
 * The same, after other devices had their turn: for a notified() whose budget is used up. The
 * driver's kicks may be off until then. A reset cancels it. Loop thread.
 */
void virtio_queue_again(struct virtio_queue *queue);
/* Nothing is under way any more after a quiesce(). Loop thread, or nothing runs. */
void virtio_device_idle(struct virtio_device *device);

/*
 * Takes the next request. 1: @chain is filled; 0: none there; negative: the
 * queue is broken, the device has failed and the log says why. Guest memory is read once.
 */
int virtio_queue_pop(struct virtio_queue *queue, struct virtio_chain *chain);
/* Gives back the @count requests popped last, as if never popped. None of them may be pushed. */
void virtio_queue_unpop(struct virtio_queue *queue, unsigned count);
/*
 * Answers a request; @written bytes of its in parts were written. The driver sees it
 * after virtio_queue_flush() only, so that a batch costs one interrupt. Any order.
 */
void virtio_queue_push(struct virtio_queue *queue, const struct virtio_chain *chain,
		       uint32_t written);
void virtio_queue_push_head(struct virtio_queue *queue, uint16_t head, uint32_t written);
/* Publishes what was pushed and interrupts the driver if it wants that. */
void virtio_queue_flush(struct virtio_queue *queue);
/* Asks the driver not to kick (a hint). */
void virtio_queue_notify_disable(struct virtio_queue *queue);
/* Asks for kicks again; true where requests came meanwhile: pop them first. */
bool virtio_queue_notify_enable(struct virtio_queue *queue);
/* Whether pop() would find something. */
bool virtio_queue_pending(struct virtio_queue *queue);

/* Copies from the out parts, from @offset on; returns how many bytes there were. */
size_t virtio_chain_read(const struct virtio_chain *chain, uint64_t offset, void *data,
			 size_t length);
/* Copies to the in parts, from @offset on; returns how many bytes had room. */
size_t virtio_chain_write(const struct virtio_chain *chain, uint64_t offset, const void *data,
			  size_t length);

/*
 * For the transport and for tests: checks the queue's size and addresses as the
 * driver left them, and prepares it for pop(). -EINVAL with a reason in @err.
 */
int virtio_queue_start(struct virtio_queue *queue, struct error *err);
/* Forgets the rings. Back to power-on. */
void virtio_queue_stop(struct virtio_queue *queue);
/* Goes on at these positions, as a saved queue that had nothing in flight. */
void virtio_queue_resume(struct virtio_queue *queue, uint16_t avail_next, uint16_t used_next);

/*
 * For queue.c: what the transport does for a queue or device. Provided by pci.c, and by
 * a stand-in in unit tests.
 */
void virtio_transport_interrupt(struct virtio_queue *queue);
void virtio_transport_config_interrupt(struct virtio_device *device);

#endif
