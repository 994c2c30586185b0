// SPDX-License-Identifier: BSD-2-Clause
/*
 * struct vhost_ops by ioctls on /dev/vhost-net and /dev/vhost-vsock. The kernel gets the table of
 * guest RAM, then each queue's size, position, rings and eventfds, and last the order to run. Both
 * devices share all steps but the last.
 */
#include "devices/virtio/core/vhost_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/virtio/core/virtqueue.h"
#include "memory/memory.h"
#include "util/container_of.h"

/* Without these a driver that negotiated them would be misunderstood. */
#define FEATURES_NEEDED                                                 \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define NET_QUEUES 2u

struct vhost_kernel {
	struct vhost vhost;
	int fd;
	int tap_fd; /* vhost-net: where its queues lead; not owned */
	bool owned; /* the kernel's worker exists */
};

static struct vhost_kernel *to_kernel(struct vhost *vhost)
{
	return container_of(vhost, struct vhost_kernel, vhost);
}

/*
 * Done once. From Linux 6.4 on the kernel's worker is a thread of this process with the rights of
 * the caller. So the caller must be in the jail, not root before the jail closes.
 */
static int kernel_set_owner(struct vhost *vhost)
{
	struct vhost_kernel *kernel = to_kernel(vhost);

	if (!kernel->owned && ioctl(kernel->fd, VHOST_SET_OWNER) < 0)
		return -errno;
	kernel->owned = true;
	return 0;
}

static int kernel_set_features(struct vhost *vhost, uint64_t features)
{
	return ioctl(to_kernel(vhost)->fd, VHOST_SET_FEATURES, &features) < 0 ? -errno : 0;
}

/* Only RAM, not the windows next to it. */
static int kernel_set_memory(struct vhost *vhost, const struct guest_memory *memory)
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
	return ioctl(to_kernel(vhost)->fd, VHOST_SET_MEM_TABLE, &request) < 0 ? -errno : 0;
}

static int kernel_queue_start(struct vhost *vhost, struct virtio_queue *queue)
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
	int fd = to_kernel(vhost)->fd;

	if (ioctl(fd, VHOST_SET_VRING_NUM, &size) < 0 ||
	    ioctl(fd, VHOST_SET_VRING_BASE, &base) < 0 ||
	    ioctl(fd, VHOST_SET_VRING_ADDR, &address) < 0 ||
	    ioctl(fd, VHOST_SET_VRING_CALL, &call) < 0 ||
	    ioctl(fd, VHOST_SET_VRING_KICK, &kick) < 0)
		return -errno;
	return 0;
}

static int kernel_queue_stop(struct vhost *vhost, struct virtio_queue *queue, uint16_t *avail_next)
{
	struct vhost_vring_state base = {.index = queue->index, .num = *avail_next};
	struct vhost_vring_file none = {.index = queue->index, .fd = -1};
	int fd = to_kernel(vhost)->fd, status = 0;

	if (ioctl(fd, VHOST_GET_VRING_BASE, &base) < 0)
		status = -errno;
	else
		*avail_next = (uint16_t)base.num;
	if (ioctl(fd, VHOST_SET_VRING_KICK, &none) < 0 ||
	    ioctl(fd, VHOST_SET_VRING_CALL, &none) < 0)
		status = -errno;
	return status;
}

/* Gives the tap to the queues, or takes it back. */
static int net_set_running(struct vhost *vhost, bool running)
{
	struct vhost_kernel *kernel = to_kernel(vhost);

	for (unsigned i = 0; i < NET_QUEUES; i++) {
		struct vhost_vring_file file = {.index = i, .fd = running ? kernel->tap_fd : -1};

		if (ioctl(kernel->fd, VHOST_NET_SET_BACKEND, &file) < 0)
			return -errno;
	}
	return 0;
}

static int vsock_set_running(struct vhost *vhost, bool running)
{
	int value = running;

	return ioctl(to_kernel(vhost)->fd, VHOST_VSOCK_SET_RUNNING, &value) < 0 ? -errno : 0;
}

static void kernel_close(struct vhost *vhost)
{
	struct vhost_kernel *kernel = to_kernel(vhost);

	close(kernel->fd);
	free(kernel);
}

static const struct vhost_ops net_ops = {
	.name = "vhost-net",
	.set_owner = kernel_set_owner,
	.set_features = kernel_set_features,
	.set_memory = kernel_set_memory,
	.queue_start = kernel_queue_start,
	.set_running = net_set_running,
	.queue_stop = kernel_queue_stop,
	.close = kernel_close,
};

static const struct vhost_ops vsock_ops = {
	.name = "vhost-vsock",
	.set_owner = kernel_set_owner,
	.set_features = kernel_set_features,
	.set_memory = kernel_set_memory,
	.queue_start = kernel_queue_start,
	.set_running = vsock_set_running,
	.queue_stop = kernel_queue_stop,
	.close = kernel_close,
};

/* @module: the kernel module's name. */
static int open_device(const char *path, const char *module, const char *option, struct error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int status;

	if (fd >= 0)
		return fd;
	status = -errno;
	if (status == -ENOENT || status == -ENXIO || status == -ENODEV)
		return error_set(err, status, "--%s: %s is missing: load the host's module %s",
				 option, path, module);
	return error_set_errno(err, status, "--%s: cannot open %s", option, path);
}

static int features_get(struct vhost_kernel *kernel, const char *path, const char *option,
			struct error *err)
{
	uint64_t features;

	if (ioctl(kernel->fd, VHOST_GET_FEATURES, &features) < 0)
		return error_set_errno(err, -errno, "--%s: %s", option, path);
	if ((features & FEATURES_NEEDED) != FEATURES_NEEDED)
		return error_set(err, -EOPNOTSUPP,
				 "--%s: %s does not have the virtio features 0x%llx", option, path,
				 (unsigned long long)(FEATURES_NEEDED & ~features));
	kernel->vhost.features = features;
	return 0;
}

static int kernel_open(const struct vhost_ops *ops, const char *path, const char *module,
		       const char *option, struct vhost_kernel **out, struct error *err)
{
	struct vhost_kernel *kernel = calloc(1, sizeof(*kernel));
	int status;

	if (!kernel)
		return error_set(err, -ENOMEM, "--%s: out of memory", option);
	kernel->vhost.ops = ops;
	kernel->fd = open_device(path, module, option, err);
	if (kernel->fd < 0) {
		status = kernel->fd;
		free(kernel);
		return status;
	}
	status = features_get(kernel, path, option, err);
	if (status < 0)
		kernel_close(&kernel->vhost);
	else
		*out = kernel;
	return status;
}

int vhost_kernel_open_net(int tap_fd, struct vhost **vhost, struct error *err)
{
	struct vhost_kernel *kernel;
	int status = kernel_open(&net_ops, "/dev/vhost-net", "vhost_net", "net", &kernel, err);

	if (status < 0)
		return status;
	kernel->tap_fd = tap_fd;
	*vhost = &kernel->vhost;
	return 0;
}

int vhost_kernel_open_vsock(uint64_t cid, struct vhost **vhost, struct error *err)
{
	struct vhost_kernel *kernel;
	int status = kernel_open(&vsock_ops, "/dev/vhost-vsock", "vhost_vsock", "vsock", &kernel,
				 err);

	if (status < 0)
		return status;
	if (ioctl(kernel->fd, VHOST_VSOCK_SET_GUEST_CID, &cid) == 0) {
		*vhost = &kernel->vhost;
		return 0;
	}
	status = -errno;
	if (status == -EADDRINUSE)
		error_set(err, status, "--vsock: cid=%llu is in use by another VM",
			  (unsigned long long)cid);
	else
		error_set_errno(err, status, "--vsock: cid=%llu", (unsigned long long)cid);
	kernel_close(&kernel->vhost);
	return status;
}
