/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices (VIRTIO 1.2, modern only) in three layers: a device type (blk, net, ...) is one
 * file with a struct virtio_ops (virtio_device.h); the split queue is virtqueue.h; the way in which
 * the driver reaches both is a transport (transport.h), today PCI. A device type sees neither
 * registers nor PCI. This header has all that a device type needs.
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

#include "devices/virtio/core/virtio_device.h"
#include "devices/virtio/core/virtqueue.h"

#endif
