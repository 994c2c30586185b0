/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues that are served outside of this program (vhost). Memory, rings, kicks and interrupts are
 * told to the other side once; from then on it works without us. What the other side is, and how
 * it is told, is a struct vhost_ops: the host's kernel (vhost_kernel.h). The queues must be marked
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

/* All functions but close(): loop thread; 0 or -errno. In the order in which vhost_start() calls.
 */
struct vhost_ops {
	const char *name; /* "vhost-net" */
	/* Optional: binds the other side to this process. Called before each start. */
	int (*set_owner)(struct vhost *vhost);
	/* @features: the negotiated ones that the other side has, too. */
	int (*set_features)(struct vhost *vhost, uint64_t features);
	/* Guest memory as the other side may see it: regions of RAM only. */
	int (*set_memory)(struct vhost *vhost, const struct guest_memory *memory);
	/* Size, position, rings, call and kick descriptors of @queue. */
	int (*queue_start)(struct vhost *vhost, struct virtio_queue *queue);
	/* Lets the other side begin with all queues (true), or has it stop (false). */
	int (*set_running)(struct vhost *vhost, bool running);
	/*
	 * Ends the service of @queue and says at which available entry it ended: the other side
	 * answered all before that one, and no longer touches guest memory for this queue.
	 */
	int (*queue_stop)(struct vhost *vhost, struct virtio_queue *queue, uint16_t *avail_next);
	/* Frees @vhost, which is stopped. Main thread, nothing runs. */
	void (*close)(struct vhost *vhost);
};

/* Embedded in what each implementation keeps. */
struct vhost {
	const struct vhost_ops *ops;
	uint64_t features; /* what the other side can do */
	struct virtio_device *device;
	unsigned count; /* of queues that were started; 0: it does not run */
};

/*
 * Has the other side serve the first @count queues of @device, which is being activated or
 * resumed. -EINVAL if one of them is not enabled, or what the other side says; it is stopped then.
 * Loop thread.
 */
int vhost_start(struct vhost *vhost, struct virtio_device *device, unsigned count);
/*
 * Stops it, and takes the positions of the rings back into the queues. The other side no longer
 * touches guest memory then. 0, also if it does not run; -errno if the other side reported an
 * error, after all steps were tried. Loop thread.
 */
int vhost_stop(struct vhost *vhost);
/* Frees @vhost; NULL is allowed. Main thread, nothing runs. */
void vhost_close(struct vhost *vhost);

#endif
