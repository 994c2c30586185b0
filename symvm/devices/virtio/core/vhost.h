/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues that are served outside of this program (vhost). The other side is given memory, rings,
 * kicks and interrupts once; from then on it works without us. A struct vhost_ops is the other side
 * and the way to reach it: today the host's kernel (vhost_kernel.h). The queues must be marked
 * external at creation.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_VHOST_H
#define SYMVM_DEVICES_VIRTIO_CORE_VHOST_H

#include <stdbool.h>
#include <stdint.h>

struct guest_memory;
struct vhost;
struct virtio_device;
struct virtio_queue;

/*
 * All functions but close(): loop thread; 0 or -errno. In the order in which vhost_start() calls
 * them.
 */
struct vhost_ops {
	const char *name; /* "vhost-net" */
	/* Optional: binds the other side to this process. Called before each start. */
	int (*set_owner)(struct vhost *vhost);
	/* @features: those negotiated features that the other side has, too. */
	int (*set_features)(struct vhost *vhost, uint64_t features);
	/* Guest memory that the other side may access: regions of RAM only. */
	int (*set_memory)(struct vhost *vhost, const struct guest_memory *memory);
	/* Size, position, rings, call and kick descriptors of @queue. */
	int (*queue_start)(struct vhost *vhost, struct virtio_queue *queue);
	/* Lets the other side begin with all queues (true), or stops it (false). */
	int (*set_running)(struct vhost *vhost, bool running);
	/*
	 * Stops serving @queue and stores the position in the available ring at which service
	 * ended. The other side answered all entries before that one, and no longer touches guest
	 * memory for this queue.
	 */
	int (*queue_stop)(struct vhost *vhost, struct virtio_queue *queue, uint16_t *avail_next);
	/* Frees @vhost, which is stopped. Main thread, nothing runs. */
	void (*close)(struct vhost *vhost);
};

/* Embedded in the structure of each implementation. */
struct vhost {
	const struct vhost_ops *ops;
	uint64_t features; /* what the other side can do */
	struct virtio_device *device;
	unsigned count; /* queues that were started; 0: it does not run */
};

/*
 * Lets the other side serve the first @count queues of @device, which is being activated or
 * resumed. -EINVAL if one of them is not enabled, or the other side's error; it is stopped then.
 * Loop thread.
 */
int vhost_start(struct vhost *vhost, struct virtio_device *device, unsigned count);
/*
 * Stops the other side, and stores the positions of the rings in the queues. The other side no
 * longer touches guest memory then. 0, also if it does not run; -errno if the other side reported
 * an error, after all steps were tried. Loop thread.
 */
int vhost_stop(struct vhost *vhost);
/* Frees @vhost; NULL is allowed. Main thread, nothing runs. */
void vhost_close(struct vhost *vhost);

#endif
