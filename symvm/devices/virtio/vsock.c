// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-vsock (VIRTIO 1.2, 5.10): sockets between host and guest, addressed by a context id. The
 * host's kernel serves the receive and transmit queues (vhost-vsock), so the host's programs use
 * AF_VSOCK. The event queue is ours.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/core/vhost_kernel.h"
#include "devices/virtio/core/virtio.h"
#include "machine/vm.h"
#include "util/container_of.h"
#include "util/keyval.h"

#define QUEUE_SIZE  128u
#define QUEUE_EVENT 2u
#define VHOST_COUNT 2u /* receive and transmit */
#define CID_FIRST   3u /* 0 to 2 are reserved: hypervisor, local, host */
#define CID_LAST    0xfffffffeu

struct vsock {
	struct virtio_device virtio;
	struct vhost *vhost;
	uint64_t cid;
	bool reset_due; /* the guest's connections are gone: report it to the guest */
};

static struct vsock *to_vsock(struct virtio_device *virtio)
{
	return container_of(virtio, struct vsock, virtio);
}

static void vsock_quiesce(struct virtio_device *virtio)
{
	if (vhost_stop(to_vsock(virtio)->vhost) < 0)
		log_limited(&virtio->vm->log, LOG_LEVEL_WARN,
			    "%s: vhost-vsock did not stop cleanly", virtio->device.name);
}

static int vsock_activate(struct virtio_device *virtio)
{
	return vhost_start(to_vsock(virtio)->vhost, virtio, VHOST_COUNT);
}

static void vsock_resume(struct virtio_device *virtio)
{
	int status = vsock_activate(virtio);

	if (status < 0)
		virtio_device_fail(virtio, "vhost-vsock did not start again: %s",
				   strerror(-status));
}

/* The event queue holds buffers of the driver; one is used after a snapshot was loaded. */
static void vsock_notified(struct virtio_device *virtio, struct virtio_queue *queue)
{
	const struct virtio_vsock_event event = {.id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET};
	struct vsock *vsock = to_vsock(virtio);
	struct iovec iov[QUEUE_SIZE];
	struct virtio_chain chain = {.iov = iov, .iov_max = QUEUE_SIZE};

	if (queue->index != QUEUE_EVENT || !vsock->reset_due ||
	    virtio_queue_pop(queue, &chain) <= 0)
		return;
	vsock->reset_due = false;
	virtio_queue_push(queue, &chain,
			  (uint32_t)virtio_chain_write(&chain, 0, &event, sizeof(event)));
	virtio_queue_flush(queue);
}

static void vsock_reset(struct virtio_device *virtio)
{
	struct vsock *vsock = to_vsock(virtio);

	vsock->reset_due = false;
}

static void vsock_destroy(struct virtio_device *virtio)
{
	struct vsock *vsock = to_vsock(virtio);

	vhost_close(vsock->vhost);
	free(vsock);
}

static int vsock_save(struct virtio_device *virtio, struct serialize_writer *writer)
{
	/* Connections are in the host's kernel and cannot be saved. */
	return writer->status;
}

static int vsock_load(struct virtio_device *virtio, struct serialize_reader *reader,
		      uint32_t version)
{
	struct vsock *vsock = to_vsock(virtio);

	vsock->reset_due = true;
	return reader->status;
}

static void vsock_describe(struct virtio_device *virtio, json_t *object)
{
	struct vsock *vsock = to_vsock(virtio);

	json_object_set_new(object, "cid", json_integer((json_int_t)vsock->cid));
}

static const struct virtio_ops vsock_ops = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.class_code = 0x078000,
	.version = 1,
	.activate = vsock_activate,
	.notified = vsock_notified,
	.quiesce = vsock_quiesce,
	.resume = vsock_resume,
	.reset = vsock_reset,
	.destroy = vsock_destroy,
	.save = vsock_save,
	.load = vsock_load,
	.describe = vsock_describe,
};

static int create_device(struct vm *vm, struct vsock *vsock, struct error *err)
{
	const struct virtio_vsock_config space = {.guest_cid = vsock->cid};
	const struct virtio_device_config config = {
		.ops = &vsock_ops,
		.name = "vsock",
		.queue_count = 3,
		.queue_size = QUEUE_SIZE,
		.space = &space,
		.space_size = sizeof(space),
	};
	int status = vhost_kernel_open_vsock(vsock->cid, &vsock->vhost, err);

	vm->jail_needs.features |= JAIL_FEATURE_NET_HOST;
	if (status == 0)
		status = virtio_device_create(vm, &vsock->virtio, &config, err);
	if (status < 0)
		return status;
	for (unsigned i = 0; i < VHOST_COUNT; i++)
		vsock->virtio.queues[i].external = true;
	return 0;
}

static int vsock_create(struct vm *vm, const char *argument, struct error *err)
{
	uint64_t cid = 0;
	const struct keyval_field fields[] = {
		{.key = "cid", .type = KEYVAL_NUMBER, .value = &cid, .required = true},
		{0},
	};
	int status = keyval_parse("vsock", argument, fields, err);
	struct vsock *vsock;

	if (status < 0)
		return status;
	if (cid < CID_FIRST || cid > CID_LAST)
		return error_set(err, -EINVAL, "--vsock: cid=%llu: expected %u to %u",
				 (unsigned long long)cid, CID_FIRST, CID_LAST);
	vsock = calloc(1, sizeof(*vsock));
	if (!vsock)
		return error_set(err, -ENOMEM, "--vsock: out of memory");
	vsock->cid = cid;
	status = create_device(vm, vsock, err);
	if (status < 0) {
		vhost_close(vsock->vhost);
		free(vsock);
	}
	return status;
}

static const struct device_class vsock_class = {
	.option = "vsock",
	.argument = "cid=N",
	.help = "sockets between host and guest, under the context id N",
	.order = 130,
	.create = vsock_create,
};
DEVICE_CLASS(vsock_class);
