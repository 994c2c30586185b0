// SPDX-License-Identifier: BSD-2-Clause
/*
 * Creates a virtio device and takes it apart: everything that does not depend on its life in
 * between.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtio_device_internal.h"
#include "devices/virtio/core/virtqueue.h"
#include "machine/vm.h"

/* How long the end of the VM waits for requests. Nothing depends on their result any more. */
#define DESTROY_STEPS	10u
#define DESTROY_STEP_MS 100u

REGISTRY_DECLARE(symvm_virtio_transports, struct virtio_transport_ops);

static void device_free_parts(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].kick_fd >= 0)
			close(device->queues[i].kick_fd);
	free(device->queues);
	free(device->config);
	pthread_mutex_destroy(&device->config_lock);
	device->queues = NULL;
	device->config = NULL;
	device->queue_count = 0;
}

static void device_destroy(struct device *opaque)
{
	struct virtio_device *device = virtio_device_of(opaque);

	/* No loop runs any more. Requests still under way after this are left to the kernel. */
	for (unsigned i = 0; i < DESTROY_STEPS && !virtio_device_deactivate(device); i++)
		device->ops->wait(device, DESTROY_STEP_MS);
	device->transport->ops->destroy(device->transport);
	device_free_parts(device);
	device->ops->destroy(device);
}

static int device_start(struct device *opaque, struct error *err)
{
	struct virtio_device *device = virtio_device_of(opaque);

	return device->ops->start ? device->ops->start(device, err) : 0;
}

static void device_resumed(struct device *opaque)
{
	struct virtio_device *device = virtio_device_of(opaque);

	if (device->ops->resumed)
		device->ops->resumed(device);
}

static void device_describe(struct device *opaque, json_t *object)
{
	struct virtio_device *device = virtio_device_of(opaque);
	struct virtio_transport *transport = device->transport;
	json_t *queues = json_array();

	for (unsigned i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];

		json_array_append_new(
			queues, json_pack("{s:I,s:I,s:I}", "requests",
					  (json_int_t)atomic_load(&queue->requests), "kicks",
					  (json_int_t)atomic_load(&queue->kicks), "interrupts",
					  (json_int_t)atomic_load(&queue->interrupts)));
	}
	json_object_set_new(object, "queues", queues);
	if (transport->ops->describe)
		transport->ops->describe(transport, object);
	json_object_set_new(object, "active", json_boolean(atomic_load(&device->active)));
	json_object_set_new(object, "failed", json_boolean(atomic_load(&device->failed)));
	if (device->ops->describe)
		device->ops->describe(device, object);
}

static int queues_create(struct virtio_device *device, unsigned count, uint16_t size,
			 struct error *err)
{
	device->queues = calloc(count, sizeof(*device->queues));
	if (!device->queues)
		return error_set(err, -ENOMEM, "%s: out of memory", device->ops->name);
	for (; device->queue_count < count; device->queue_count++) {
		struct virtio_queue *queue = &device->queues[device->queue_count];

		queue->device = device;
		queue->index = device->queue_count;
		queue->size_max = size;
		queue->size = size;
		queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (queue->kick_fd < 0)
			return error_set_errno(err, -errno, "%s: eventfd", device->ops->name);
	}
	return 0;
}

static int transport_create(struct virtio_device *device, struct error *err)
{
	const struct virtio_transport_ops *const *it;

	REGISTRY_FOR_EACH(symvm_virtio_transports, it)
		return (*it)->create(device, err);
	return error_set(err, -EOPNOTSUPP, "%s: the program has no virtio transport",
			 device->ops->name);
}

static int parts_create(struct virtio_device *device, const struct virtio_device_config *config,
			struct error *err)
{
	int status;

	device->config_size = config->space_size;
	device->config = calloc(1, config->space_size ? config->space_size : 1);
	if (!device->config)
		return error_set(err, -ENOMEM, "%s: out of memory", config->ops->name);
	if (config->space_size)
		memcpy(device->config, config->space, config->space_size);
	status = queues_create(device, config->queue_count, config->queue_size, err);
	return status < 0 ? status : transport_create(device, err);
}

static struct device_ops device_ops_make(const struct virtio_ops *ops)
{
	return (struct device_ops){
		.name = ops->name,
		.version = ops->version,
		.start = device_start,
		.quiesce = virtio_device_op_quiesce,
		.reset = virtio_device_op_reset,
		.destroy = device_destroy,
		.save = virtio_device_op_save,
		.resume = virtio_device_op_resume,
		.resumed = device_resumed,
		.load = virtio_device_op_load,
		.describe = device_describe,
	};
}

int virtio_device_create(struct vm *vm, struct virtio_device *device,
			 const struct virtio_device_config *config, struct error *err)
{
	const struct virtio_ops *ops = config->ops;
	char name[sizeof(device->device.name)];
	unsigned size = config->queue_size;
	int status;

	if (config->queue_count == 0 || config->queue_count > VIRTIO_QUEUES_MAX || size == 0 ||
	    size > VIRTIO_QUEUE_SIZE_MAX || (size & (size - 1)))
		return error_set(err, -EINVAL, "%s: %u queues of %u entries", ops->name,
				 config->queue_count, size);
	device->ops = ops;
	device->vm = vm;
	device->features_offered = config->features | 1ull << VIRTIO_F_VERSION_1 |
				   1ull << VIRTIO_RING_F_EVENT_IDX |
				   1ull << VIRTIO_RING_F_INDIRECT_DESC;
	device->device_ops = device_ops_make(ops);
	pthread_mutex_init(&device->config_lock, NULL);
	status = parts_create(device, config, err);
	if (status < 0) {
		device_free_parts(device);
		return status;
	}
	snprintf(name, sizeof(name), "%s%u", config->name, virtio_device_count(vm, ops));
	device_add(vm, &device->device, &device->device_ops, name, false);
	return 0;
}
