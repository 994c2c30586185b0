// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/core/vhost.h"

#include <errno.h>

#include "devices/virtio/core/virtio_device.h"
#include "devices/virtio/core/virtqueue.h"
#include "machine/vm.h"

static int vhost_tell(struct vhost *vhost, struct virtio_device *device, unsigned count)
{
	/* Features that the other side does not implement (MAC, STATUS, ...) are handled here. */
	uint64_t features = device->features & vhost->features;
	const struct vhost_ops *ops = vhost->ops;
	int status = ops->set_owner ? ops->set_owner(vhost) : 0;

	if (status == 0)
		status = ops->set_features(vhost, features);
	if (status < 0)
		return status;
	status = ops->set_memory(vhost, &device->vm->memory);
	/* From here on vhost_stop() has something to undo. */
	vhost->device = device;
	vhost->count = count;
	for (unsigned i = 0; i < count && status == 0; i++)
		status = ops->queue_start(vhost, &device->queues[i]);
	return status < 0 ? status : ops->set_running(vhost, true);
}

int vhost_start(struct vhost *vhost, struct virtio_device *device, unsigned count)
{
	int status;

	for (unsigned i = 0; i < count; i++)
		if (!device->queues[i].enabled)
			return -EINVAL;
	status = vhost_tell(vhost, device, count);
	if (status < 0)
		vhost_stop(vhost);
	return status;
}

/* The other side completes in order: it has answered everything that it took. */
static void position_set(struct virtio_queue *queue, uint16_t avail_next)
{
	queue->avail_next = avail_next;
	queue->avail_seen = avail_next;
	if (queue->used)
		queue->used_next = __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE);
	queue->used_published = queue->used_next;
}

int vhost_stop(struct vhost *vhost)
{
	unsigned count = vhost->count;
	int status = 0, failed;

	if (count == 0)
		return 0;
	vhost->count = 0;
	status = vhost->ops->set_running(vhost, false);
	for (unsigned i = 0; i < count; i++) {
		struct virtio_queue *queue = &vhost->device->queues[i];
		uint16_t avail_next = queue->avail_next;

		failed = vhost->ops->queue_stop(vhost, queue, &avail_next);
		if (failed < 0)
			status = failed;
		position_set(queue, avail_next);
	}
	return status;
}

void vhost_close(struct vhost *vhost)
{
	if (vhost)
		vhost->ops->close(vhost);
}
