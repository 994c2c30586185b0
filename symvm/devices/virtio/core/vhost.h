/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues served by the kernel (vhost): what vhost-net and vhost-vsock share. Linux
 * UAPI linux/vhost.h. The queues must be marked external at creation.
 */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_VHOST_H
#define SYMVM_DEVICES_VIRTIO_CORE_VHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/core/virtio.h"
#include "util/error.h"

struct vhost {
	int fd;		   /* -1: closed */
	uint64_t features; /* what the kernel's side can do */
	struct virtio_device *device;
	bool owned; /* the kernel's worker exists */
	bool started;
};

/*
 * Opens @path ("/dev/vhost-net"). -errno, with words that say
 * what to do where @module (the kernel module's name) is missing. Main thread.
 */
int vhost_open(struct vhost *vhost, const char *path, const char *module, const char *option,
	       struct error *err);
void vhost_close(struct vhost *vhost);

/*
 * Tells the kernel memory, features and the rings of the first @count queues of @device, which
 * is being activated. The caller then starts the back end, or stops after a failure. Loop
 * thread. -errno.
 */
int vhost_start(struct vhost *vhost, struct virtio_device *device, unsigned count);
/*
 * Takes the ring positions back into the queues, after the caller stopped the back
 * end: the kernel no longer touches guest memory then. Loop thread.
 */
int vhost_stop(struct vhost *vhost, unsigned count);

#endif
