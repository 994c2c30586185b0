/* SPDX-License-Identifier: BSD-2-Clause */
/* Queues that the host's kernel serves: vhost-net, vhost-vsock. Linux UAPI linux/vhost.h. */
#ifndef SYMVM_DEVICES_VIRTIO_CORE_VHOST_KERNEL_H
#define SYMVM_DEVICES_VIRTIO_CORE_VHOST_KERNEL_H

#include <stdint.h>

#include "devices/virtio/core/vhost.h"
#include "util/error.h"

/*
 * Opens /dev/vhost-net, whose queues lead to the tap @tap_fd (not owned). The caller closes
 * *@vhost. -errno with words for the option --net; they name the kernel's module if it is missing.
 * Main thread, before the jail closes.
 */
int vhost_kernel_open_net(int tap_fd, struct vhost **vhost, struct error *err);
/*
 * The same with /dev/vhost-vsock, the guest's context id @cid and --vsock; -EADDRINUSE if another
 * VM has the id.
 */
int vhost_kernel_open_vsock(uint64_t cid, struct vhost **vhost, struct error *err);

#endif
