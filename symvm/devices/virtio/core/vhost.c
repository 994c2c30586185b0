// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/core/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "machine/vm.h"

/* Without these a driver that negotiated them would be misunderstood. */
#define FEATURES_NEEDED                                                 \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC)

int vhost_open(struct vhost *vhost, const char *path, const char *module, const char *option,
	       struct error *err)
{
	int status;

	*vhost = (struct vhost){.fd = open(path, O_RDWR | O_CLOEXEC)};
	if (vhost->fd < 0) {
		status = -errno;
		if (status == -ENOENT || status == -ENXIO || status == -ENODEV)
			return error_set(err, status,
					 "--%s: %s is missing: load the host's module %s", option,
					 path, module);
		return error_set_errno(err, status, "--%s: cannot open %s", option, path);
	}
	if (ioctl(vhost->fd, VHOST_GET_FEATURES, &vhost->features) < 0)
		status = error_set_errno(err, -errno, "--%s: %s", option, path);
	else if ((vhost->features & FEATURES_NEEDED) != FEATURES_NEEDED)
		status = error_set(err, -EOPNOTSUPP, "--%s: %s lacks virtio features: 0x%llx",
				   option, path,
				   (unsigned long long)(FEATURES_NEEDED & ~vhost->features));
	else
		return 0;
	vhost_close(vhost);
	return status;
}

void vhost_close(struct vhost *vhost)
{
	if (vhost->fd >= 0)
		close(vhost->fd);
	vhost->fd = -1;
}

/* Guest memory as the kernel's side may see it: RAM only, not the windows beside it. */
static int set_memory(struct vhost *vhost, const struct guest_memory *memory)
{
	struct {
		struct vhost_memory table;
		struct vhost_memory_region regions[MEMORY_REGIONS_MAX];
	} request = {0};

	for (unsigned i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];

		if (!region->ram)
			continue;
		request.regions[request.table.nregions++] = (struct vhost_memory_region){
			.guest_phys_addr = region->gpa,
			.memory_size = region->size,
			.userspace_addr = (uint64_t)(uintptr_t)region->hva,
		};
	}
	return ioctl(vhost->fd, VHOST_SET_MEM_TABLE, &request) < 0 ? -errno : 0;
}

static int set_queue(struct vhost *vhost, struct virtio_queue *queue)
{
	struct vhost_vring_state size = {.index = queue->index, .num = queue->size};
	struct vhost_vring_state base = {.index = queue->index, .num = queue->avail_next};
	struct vhost_vring_file kick = {.index = queue->index, .fd = queue->kick_fd};
	struct vhost_vring_file call = {.index = queue->index, .fd = virtio_queue_call_fd(queue)};
	struct vhost_vring_addr address = {
		.index = queue->index,
		.desc_user_addr = (uint64_t)(uintptr_t)queue->desc,
		.avail_user_addr = (uint64_t)(uintptr_t)queue->avail,
		.used_user_addr = (uint64_t)(uintptr_t)queue->used,
	};

	if (ioctl(vhost->fd, VHOST_SET_VRING_NUM, &size) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_BASE, &base) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_ADDR, &address) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_CALL, &call) < 0 ||
	    ioctl(vhost->fd, VHOST_SET_VRING_KICK, &kick) < 0)
		return -errno;
	return 0;
}

/*
 * Once. From Linux 6.4 on the kernel's worker is a thread of this process with the rights of the
 * caller: so a caller in the jail, not root before it closes.
 */
static int take_ownership(struct vhost *vhost)
{
	if (!vhost->owned && ioctl(vhost->fd, VHOST_SET_OWNER) < 0)
		return -errno;
	vhost->owned = true;
	return 0;
}

int vhost_start(struct vhost *vhost, struct virtio_device *device, unsigned count)
{
	/* What the kernel does not know of (MAC, STATUS, ...) is ours, not its. */
	uint64_t features = device->features & vhost->features;
	int status;

	vhost->device = device;
	for (unsigned i = 0; i < count; i++)
		if (!device->queues[i].enabled)
			return -EINVAL;
	status = take_ownership(vhost);
	if (status < 0)
		return status;
	if (ioctl(vhost->fd, VHOST_SET_FEATURES, &features) < 0)
		return -errno;
	status = set_memory(vhost, &device->vm->memory);
	/* From here on vhost_stop() has something to undo. */
	vhost->started = true;
	for (unsigned i = 0; i < count && status == 0; i++)
		status = set_queue(vhost, &device->queues[i]);
	return status;
}

int vhost_stop(struct vhost *vhost, unsigned count)
{
	int status = 0;

	if (!vhost->started)
		return 0;
	vhost->started = false;
	for (unsigned i = 0; i < count; i++) {
		struct virtio_queue *queue = &vhost->device->queues[i];
		struct vhost_vring_state base = {.index = queue->index};
		struct vhost_vring_file none = {.index = queue->index, .fd = -1};

		if (ioctl(vhost->fd, VHOST_GET_VRING_BASE, &base) < 0)
			status = -errno;
		/* The kernel completes in order: what it took it has answered. */
		queue->avail_next = (uint16_t)base.num;
		queue->avail_seen = queue->avail_next;
		if (queue->used)
			queue->used_next = __atomic_load_n(&queue->used->idx, __ATOMIC_ACQUIRE);
		queue->used_published = queue->used_next;
		if (ioctl(vhost->fd, VHOST_SET_VRING_KICK, &none) < 0 ||
		    ioctl(vhost->fd, VHOST_SET_VRING_CALL, &none) < 0)
			status = -errno;
	}
	return status;
}
