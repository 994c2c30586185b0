// SPDX-License-Identifier: BSD-2-Clause
/*
 * The saved state of virtio devices: the part that all types share, which contains the type's own.
 */
#include <errno.h>
#include <unistd.h>

#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtio_device_internal.h"
#include "devices/virtio/core/virtqueue.h"
#include "machine/vm.h"

/* The version of the part of the state that all virtio devices share. */
#define STATE_VERSION 1u

static void queue_save(const struct virtio_queue *queue, struct serialize_writer *writer)
{
	serialize_put_u8(writer, queue->enabled);
	serialize_put_u16(writer, queue->size);
	serialize_put_u64(writer, queue->desc_gpa);
	serialize_put_u64(writer, queue->avail_gpa);
	serialize_put_u64(writer, queue->used_gpa);
	serialize_put_u16(writer, queue->avail_next);
	serialize_put_u16(writer, queue->used_next);
}

int virtio_device_op_save(struct device *opaque, struct serialize_writer *writer)
{
	struct virtio_device *device = virtio_device_of(opaque);
	int status = virtio_device_quiesce(device);

	if (status < 0)
		return status;
	serialize_put_u32(writer, STATE_VERSION);
	status = device->transport->ops->save(device->transport, writer);
	if (status < 0)
		return status;
	serialize_put_u64(writer, device->features);
	serialize_put_u8(writer, atomic_load(&device->failed));
	pthread_mutex_lock(&device->config_lock);
	serialize_put_u32(writer, device->config_size);
	serialize_put_bytes(writer, device->config, device->config_size);
	serialize_put_u8(writer, device->config_generation);
	pthread_mutex_unlock(&device->config_lock);
	serialize_put_u32(writer, device->queue_count);
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_save(&device->queues[i], writer);
	if (writer->status == 0 && device->ops->save)
		status = device->ops->save(device, writer);
	return writer->status < 0 ? writer->status : status;
}

static int queue_load(const struct virtio_queue *queue, struct serialize_reader *reader,
		      struct virtio_queue_state *state)
{
	state->enabled = serialize_get_u8(reader);
	state->size = serialize_get_u16(reader);
	state->desc_gpa = serialize_get_u64(reader);
	state->avail_gpa = serialize_get_u64(reader);
	state->used_gpa = serialize_get_u64(reader);
	state->avail_next = serialize_get_u16(reader);
	state->used_next = serialize_get_u16(reader);
	return reader->status < 0 || state->enabled > 1 ? -EINVAL : 0;
}

static void queue_set(struct virtio_queue *queue, const struct virtio_queue_state *state)
{
	queue->enabled = state->enabled;
	queue->size = state->size;
	queue->desc_gpa = state->desc_gpa;
	queue->avail_gpa = state->avail_gpa;
	queue->used_gpa = state->used_gpa;
}

/* Reads features, failure, config space and queues; queue positions are written to @states. */
static int shared_load(struct virtio_device *device, struct serialize_reader *reader,
		       struct virtio_queue_state *states)
{
	uint64_t features = serialize_get_u64(reader);
	uint8_t failed = serialize_get_u8(reader);

	if (reader->status < 0 || (features & ~device->features_offered) || failed > 1 ||
	    serialize_get_u32(reader) != device->config_size)
		return -EINVAL;
	pthread_mutex_lock(&device->config_lock);
	serialize_get_bytes(reader, device->config, device->config_size);
	device->config_generation = serialize_get_u8(reader);
	pthread_mutex_unlock(&device->config_lock);
	if (serialize_get_u32(reader) != device->queue_count || reader->status < 0)
		return -EINVAL;
	for (unsigned i = 0; i < device->queue_count; i++) {
		if (queue_load(&device->queues[i], reader, &states[i]) < 0)
			return -EINVAL;
		queue_set(&device->queues[i], &states[i]);
	}
	device->features = features;
	atomic_store(&device->failed, failed);
	return 0;
}

/* Lets the back end look for requests that the driver left in the queue before the save. */
static void queue_kick(struct virtio_queue *queue)
{
	uint64_t one = 1;

	if (queue->enabled && write(queue->kick_fd, &one, sizeof(one)) < 0)
		virtio_device_fail(queue->device, "queue %u: no kick after loading", queue->index);
}

int virtio_device_op_load(struct device *opaque, struct serialize_reader *reader, uint32_t version)
{
	struct virtio_device *device = virtio_device_of(opaque);
	struct virtio_queue_state states[VIRTIO_QUEUES_MAX];
	bool failed;
	int status;

	opaque->ops->reset(opaque);
	if (serialize_get_u32(reader) != STATE_VERSION)
		return -EINVAL;
	status = device->transport->ops->load(device->transport, reader);
	if (status == 0)
		status = shared_load(device, reader, states);
	if (status == 0 && device->ops->load)
		status = device->ops->load(device, reader, version);
	if (status == 0 && device->transport->ops->driver_ok(device->transport)) {
		failed = atomic_load(&device->failed);
		device->loading = states;
		virtio_device_activate(device);
		device->loading = NULL;
		if (atomic_load(&device->failed) != failed)
			status = -EINVAL;
		for (unsigned i = 0; i < device->queue_count && status == 0; i++)
			queue_kick(&device->queues[i]);
	}
	if (status < 0)
		opaque->ops->reset(opaque);
	return status;
}
