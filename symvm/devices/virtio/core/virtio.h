/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices (VIRTIO 1.2, modern only) in three layers. A device type (blk, net, ...) is one
 * file with a struct virtio_ops (virtio_device.h). The split queue is virtqueue.h. The driver
 * reaches both by a transport (transport.h), today PCI. A device type sees neither registers nor
 * PCI. This header includes everything that a device type needs.
 *
 * Threads. All code that touches a running queue runs on vm->io_loop's thread: the ops activate,
 * notified, quiesce and reset, and the functions virtio_queue_*() and virtio_chain_*(). Exceptions
 * are marked. No lock is held during these ops, and data that only they touch needs none.
 *
 * Life of a device. virtio_device_create() adds it to the VM. When the driver has set it up and
 * sets DRIVER_OK, activate() is called, then notified() once for each queue and at each kick of the
 * driver. When the driver resets it, quiesce() is called and, as soon as busy() is false, reset().
 * activate() may follow again. At the end, destroy() follows quiesce() and reset().
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

#include "devices/virtio/core/virtio_device.h"
#include "devices/virtio/core/virtqueue.h"

#endif
