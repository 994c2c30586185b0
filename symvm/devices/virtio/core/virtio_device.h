/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device: what each type (blk, net, ...) defines (struct virtio_ops, struct
 * virtio_device_config), and what all types share. virtio.h describes threads and life.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_VIRTIO_DEVICE_H
#define SYMVM_DEVICES_VIRTIO_CORE_VIRTIO_DEVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/device.h"
#include "util/error.h"
#include "util/serialize.h"

struct vm;
struct virtio_device;
struct virtio_queue;
struct virtio_queue_state;
struct virtio_transport;

struct virtio_ops {
	const char *name;    /* "virtio-blk" */
	uint16_t id;	     /* VIRTIO_ID_* */
	uint32_t class_code; /* PCI class, 24 bits: 0x018000 mass storage, 0x020000 ethernet,
			      * 0x078000 communication, 0x100000 entropy (as other) */
	uint32_t version;    /* of the state that save() writes */

	/* Optional: as device_ops.start. Main thread. */
	int (*start)(struct virtio_device *device, struct error *err);
	/*
	 * DRIVER_OK: device->features are the negotiated ones and the enabled queues
	 * are ready. A negative value fails the device (it then needs a reset).
	 */
	int (*activate)(struct virtio_device *device);
	/* The driver kicked @queue (never one that is external or not enabled). */
	void (*notified)(struct virtio_device *device, struct virtio_queue *queue);
	/*
	 * Stops: begins no new work, and completes or abandons what it can at once. Must not wait.
	 * Once busy() returns false, neither this process nor the kernel on its behalf touches
	 * guest memory for this device until the next resume() or activate(). Optional.
	 */
	void (*quiesce)(struct virtio_device *device);
	/*
	 * Whether a request is still under way that may touch guest memory. If the last one ends
	 * after a quiesce(), the device calls virtio_device_idle(). Optional: without it, nothing
	 * is ever under way.
	 */
	bool (*busy)(struct virtio_device *device);
	/*
	 * Goes with busy(): completes requests that ended, and waits at most @ms milliseconds for
	 * them. On the loop's thread @ms is 0. Otherwise the loop does not run.
	 */
	void (*wait)(struct virtio_device *device, unsigned ms);
	/*
	 * Goes with busy(): whether a request under way has a part in the host memory
	 * [@memory, @memory + @length).
	 */
	bool (*holds)(struct virtio_device *device, const void *memory, uint64_t length);
	/*
	 * The VM continues after a quiesce() for a save: external queues are served again.
	 * notified() follows for each other queue. Optional.
	 */
	void (*resume)(struct virtio_device *device);
	/* Optional: as device_ops.resumed: the vCPUs run again after a pause. */
	void (*resumed)(struct virtio_device *device);
	/*
	 * Sets the device back to power-on; follows quiesce(). Queues are already stopped.
	 * Optional.
	 */
	void (*reset)(struct virtio_device *device);
	/* Optional: the machine's reset, not the driver's; after reset(). vCPUs stopped. */
	void (*power_on)(struct virtio_device *device);
	/* Frees the device's resources and @device itself. Main thread, nothing runs any more. */
	void (*destroy)(struct virtio_device *device);

	/*
	 * Optional: the driver wrote [@offset, @offset + @length) of the device's config space (in
	 * bounds). vCPU threads. It may take locks of its own, but must not wait for the loop.
	 */
	void (*config_written)(struct virtio_device *device, unsigned offset, const void *data,
			       unsigned length);

	/* Optional: state beyond config space, features and queues. vCPUs stopped, quiesced. */
	int (*save)(struct virtio_device *device, struct serialize_writer *writer);
	int (*load)(struct virtio_device *device, struct serialize_reader *reader,
		    uint32_t version);
	/* Optional: more for `symvm info`, which has the queue counters already. Any thread. */
	void (*describe)(struct virtio_device *device, json_t *object);
};

/* Embedded in each virtio device's own structure. */
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
	_Atomic bool active; /* between activate() and the next reset */
	_Atomic bool failed; /* needs a reset by the driver */

	/* Why the device is quiesced. If none is set, it is not quiesced. */
	_Atomic bool quiesced_for_save;	 /* until the VM is resumed */
	_Atomic bool quiesced_for_reset; /* by the driver or the machine, until busy() is false */
	bool quiesced_for_range;	 /* until virtio_devices_resume(); loop thread */

	/* Where queues continue while a saved state is taken over; otherwise NULL. */
	const struct virtio_queue_state *loading;

	pthread_mutex_t config_lock; /* a leaf lock: guards config and config_generation */
	uint8_t *config;
	unsigned config_size;
	uint8_t config_generation;
};

struct virtio_device_config {
	const struct virtio_ops *ops;
	const char *name; /* "disk": the first one is "disk0", the second "disk1" */
	/* Device feature bits; VERSION_1, EVENT_IDX and INDIRECT_DESC are added. */
	uint64_t features;
	unsigned queue_count; /* 1 to VIRTIO_QUEUES_MAX */
	uint16_t queue_size;  /* entries, a power of two up to VIRTIO_QUEUE_SIZE_MAX */
	const void *space;    /* initial config space; copied */
	unsigned space_size;  /* bytes; 0: no config space */
};

/*
 * Makes @device (zeroed, allocated by the caller) a device of @vm according to @config. The
 * transport shows it to the guest. On success the VM owns it (ops->destroy frees it); on failure
 * the caller still does. Main thread, before the vCPUs run. -EINVAL, -ENOMEM, -EOPNOTSUPP (no
 * transport) or the transport's error, with words.
 */
int virtio_device_create(struct vm *vm, struct virtio_device *device,
			 const struct virtio_device_config *config, struct error *err);

static inline bool virtio_device_has_feature(const struct virtio_device *device, unsigned bit)
{
	return device->features & (1ull << bit);
}

/*
 * The driver broke the rules or the host failed: marks the device as needing a reset, informs the
 * driver by a config interrupt, and logs one line. Queues give no more requests from then on. Any
 * thread.
 */
void virtio_device_fail(struct virtio_device *device, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Changes [@offset, @offset + @length) of config space and raises the config change interrupt. A
 * range that is not inside changes nothing. Any thread.
 */
void virtio_device_config_update(struct virtio_device *device, unsigned offset, const void *data,
				 unsigned length);

/* The same without the interrupt. Any thread. */
void virtio_device_config_store(struct virtio_device *device, unsigned offset, const void *data,
				unsigned length);

/*
 * Calls ops->notified() for @queue as if the driver had kicked it, if the device is active and not
 * quiesced. Loop thread.
 */
void virtio_queue_run(struct virtio_queue *queue);
/*
 * The same, after other devices had their turn: for a notified() that used up its budget. The
 * driver's kicks may be off until then. A reset cancels it. Loop thread.
 */
void virtio_queue_again(struct virtio_queue *queue);
/* Reports that nothing is under way any more after a quiesce(). Loop thread, or nothing runs. */
void virtio_device_idle(struct virtio_device *device);

/* The first virtio device of @vm with these @ops, or NULL. Any thread, as device_find(). */
struct virtio_device *virtio_device_find(struct vm *vm, const struct virtio_ops *ops);
/* How many such devices @vm has. Any thread. */
unsigned virtio_device_count(struct vm *vm, const struct virtio_ops *ops);

/*
 * Call this before host memory [@memory, @memory + @length) is taken from the guest. It quiesces
 * those virtio devices of @vm that hold requests, so that none has a part there. -EBUSY if a ring
 * is there, which must stay; -EAGAIN if a request under way has a part there. Does not wait. After
 * 0, virtio_devices_resume() must follow. Loop thread.
 */
int virtio_devices_quiesce(struct vm *vm, const void *memory, uint64_t length);
/* Ends that: these devices look at their queues again. Loop thread. */
void virtio_devices_resume(struct vm *vm);
/*
 * Deactivates all virtio devices of @vm, as their driver's reset would. Waits for requests that are
 * under way, or until the VM ends. Not on the I/O loop's thread.
 */
void virtio_devices_stop(struct vm *vm);

#endif
