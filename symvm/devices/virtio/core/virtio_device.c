// SPDX-License-Identifier: BSD-2-Clause
/* What all virtio devices share: creation, activation, failure, state, counters. */
#include "devices/virtio/core/virtio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/core/virtio_device_state.h"
#include "devices/virtio/core/transport.h"
#include "machine/vm.h"
#include "util/clock.h"

/* How long a save waits for requests that the host does not complete, and a reset silently. */
#define STOP_MS	     5000u
#define STOP_STEP_US 2000u
/* The same at the end of the VM, when nothing depends on the outcome any more. */
#define DESTROY_STEPS	10u
#define DESTROY_STEP_MS 100u

static struct virtio_device *to_virtio(struct device *device)
{
	return (struct virtio_device *)device;
}

void virtio_device_fail(struct virtio_device *device, const char *format, ...)
{
	char reason[256];
	va_list args;

	if (atomic_exchange(&device->failed, true))
		return;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	log_limited(&device->vm->log, LOG_LEVEL_WARN, "%s: stopped until its driver resets it: %s",
		    device->device.name, reason);
	virtio_transport_config_interrupt(device);
}

void virtio_device_config_store(struct virtio_device *device, unsigned offset, const void *data,
				unsigned length)
{
	pthread_mutex_lock(&device->config_lock);
	if (offset <= device->config_size && length <= device->config_size - offset) {
		memcpy(device->config + offset, data, length);
		device->config_generation++;
	}
	pthread_mutex_unlock(&device->config_lock);
}

void virtio_device_config_update(struct virtio_device *device, unsigned offset, const void *data,
				 unsigned length)
{
	virtio_device_config_store(device, offset, data, length);
	virtio_transport_config_interrupt(device);
}

/* A kick may come late: after a quiesce() nothing of the guest's may be touched. */
void virtio_queue_run(struct virtio_queue *queue)
{
	struct virtio_device *device = queue->device;

	if (atomic_load(&device->active) && !atomic_load(&device->failed) &&
	    !atomic_load(&device->saved) && queue->enabled && !queue->external)
		device->ops->notified(device, queue);
}

void virtio_queue_again(struct virtio_queue *queue)
{
	uint64_t one = 1;

	/* As a kick of our own: the loop looks at all other sources first. */
	queue->again = write(queue->kick_fd, &one, sizeof(one)) == sizeof(one);
}

/*
 * Edge triggered: each kick wakes us once without a read of the eventfd, whose
 * count cannot overflow in practice.
 */
static void queue_kicked(void *opaque, uint32_t events)
{
	struct virtio_queue *queue = opaque;

	if (!queue->again)
		atomic_fetch_add_explicit(&queue->kicks, 1, memory_order_relaxed);
	queue->again = false;
	virtio_queue_run(queue);
}

static int queue_activate(struct virtio_device *device, struct virtio_queue *queue)
{
	struct error err;

	if (virtio_queue_start(queue, &err) < 0) {
		virtio_device_fail(device, "queue %u: %s", queue->index, err.text);
		return -EINVAL;
	}
	/* Before its first kick, which may be waiting already. */
	if (device->loading)
		virtio_queue_resume(queue, device->loading[queue->index].avail_next,
				    device->loading[queue->index].used_next);
	if (queue->external)
		return 0;
	queue->kick_source = event_loop_add(device->vm->io_loop, queue->kick_fd, EPOLLIN | EPOLLET,
					    queue_kicked, queue);
	if (!queue->kick_source) {
		virtio_device_fail(device, "queue %u: the event loop is full", queue->index);
		return -ENOMEM;
	}
	return 0;
}

static void activate_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;
	int status;

	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].enabled && queue_activate(device, &device->queues[i]) < 0)
			return;
	status = device->ops->activate ? device->ops->activate(device) : 0;
	if (status < 0) {
		virtio_device_fail(device, "it could not start: %s", strerror(-status));
		return;
	}
	atomic_store(&device->active, true);
	if (device->loading)
		return;
	for (unsigned i = 0; i < device->queue_count; i++)
		virtio_queue_run(&device->queues[i]);
}

static bool is_busy(struct virtio_device *device)
{
	return device->ops->busy && device->ops->busy(device);
}

/* The second half of a reset: nothing is under way any more. */
static void deactivate_end(struct virtio_device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		virtio_queue_stop(&device->queues[i]);
	if (device->ops->reset)
		device->ops->reset(device);
	device->features = 0;
	atomic_store(&device->failed, false);
	atomic_store(&device->saved, false);
	atomic_store(&device->stopping, false);
}

static void deactivate_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (atomic_load(&device->stopping)) {
		if (device->ops->wait)
			device->ops->wait(device, 0);
		virtio_device_idle(device);
		return;
	}
	for (unsigned i = 0; i < device->queue_count; i++) {
		event_source_remove(device->queues[i].kick_source);
		device->queues[i].kick_source = NULL;
		device->queues[i].again = false;
	}
	if (atomic_exchange(&device->active, false) && device->ops->quiesce)
		device->ops->quiesce(device);
	if (is_busy(device))
		atomic_store(&device->stopping, true);
	else
		deactivate_end(device);
}

void virtio_device_idle(struct virtio_device *device)
{
	if (atomic_load(&device->stopping) && !is_busy(device))
		deactivate_end(device);
}

void virtio_device_activate(struct virtio_device *device)
{
	if (event_loop_call(device->vm->io_loop, activate_on_loop, device) < 0)
		virtio_device_fail(device, "out of memory");
}

bool virtio_device_deactivate(struct virtio_device *device)
{
	/* Without memory for the message the reset would be lost, and DMA could go on. */
	while (event_loop_call(device->vm->io_loop, deactivate_on_loop, device) == -ENOMEM)
		usleep(1000);
	return !atomic_load(&device->stopping);
}

/*
 * Waits until the device let go of the guest's memory: a disk may be stuck, and nothing else may
 * use its memory before that. False where the VM ended first.
 */
static bool deactivate_whole(struct virtio_device *device)
{
	struct vm *vm = device->vm;
	uint64_t complain_ns = clock_now_ns() + STOP_MS * NS_PER_MS;

	while (!virtio_device_deactivate(device)) {
		if (atomic_load(&vm->end) != VM_END_NONE)
			return false;
		if (complain_ns && clock_now_ns() > complain_ns) {
			complain_ns = 0;
			log_warn(&vm->log,
				 "%s: its reset waits for requests that the host does not complete",
				 device->device.name);
		}
		usleep(STOP_STEP_US);
	}
	return true;
}

/* The VM core may call quiesce() first; then there is nothing to wait for here. */
static void device_reset(struct device *device)
{
	struct virtio_device *virtio = to_virtio(device);

	if (!deactivate_whole(virtio))
		return;
	virtio_transport_reset(virtio);
	if (virtio->ops->power_on)
		virtio->ops->power_on(virtio);
}

/* The next virtio device of the VM from @device on, that one included; NULL. */
static struct virtio_device *next_virtio(struct device *device)
{
	while (device && device->ops->reset != device_reset)
		device = device->next;
	return device ? to_virtio(device) : NULL;
}

static bool overlaps(const void *start, uint64_t size, const uint8_t *memory, uint64_t length)
{
	const uint8_t *first = start;

	return first && first < memory + length && first + size > memory;
}

static bool queue_lies_in(const struct virtio_queue *queue, const void *memory, uint64_t length)
{
	return overlaps(queue->desc, 16ull * queue->size, memory, length) ||
	       overlaps(queue->avail, 6 + 2ull * queue->size, memory, length) ||
	       overlaps(queue->used, 6 + 8ull * queue->size, memory, length);
}

/* Gives back what the device holds of the driver's. A busy one was asked what it holds. */
static void device_settle(struct virtio_device *device)
{
	bool holds = false;

	for (unsigned i = 0; i < device->queue_count; i++)
		holds |= !device->queues[i].external && device->queues[i].in_flight;
	if (!holds || !device->ops->quiesce || device->ops->holds ||
	    !atomic_load(&device->active) || atomic_load(&device->saved))
		return;
	device->ops->quiesce(device);
	device->settled = true;
}

int virtio_devices_let_go(struct vm *vm, const void *memory, uint64_t length)
{
	struct virtio_device *device;

	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next))
		for (unsigned i = 0; i < device->queue_count; i++)
			if (queue_lies_in(&device->queues[i], memory, length))
				return -EBUSY;
	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next))
		if (device->ops->holds && device->ops->holds(device, memory, length))
			return -EAGAIN;
	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next))
		device_settle(device);
	return 0;
}

void virtio_devices_go_on(struct vm *vm)
{
	struct virtio_device *device;

	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next)) {
		if (!device->settled)
			continue;
		device->settled = false;
		if (device->ops->resume)
			device->ops->resume(device);
		for (unsigned i = 0; i < device->queue_count; i++)
			virtio_queue_run(&device->queues[i]);
	}
}

void virtio_devices_stop(struct vm *vm)
{
	struct virtio_device *device;

	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next))
		deactivate_whole(device);
}

static bool device_quiesce(struct device *device)
{
	return virtio_device_deactivate(to_virtio(device));
}

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
	struct virtio_device *device = to_virtio(opaque);

	/* No loop runs any more. What is under way beyond this the device leaves to the kernel. */
	for (unsigned i = 0; i < DESTROY_STEPS && !virtio_device_deactivate(device); i++)
		device->ops->wait(device, DESTROY_STEP_MS);
	virtio_transport_destroy(device);
	device_free_parts(device);
	device->ops->destroy(device);
}

static void quiesce_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (!atomic_load(&device->active))
		return;
	atomic_store(&device->saved, true);
	if (device->ops->quiesce)
		device->ops->quiesce(device);
}

static void resume_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (!atomic_exchange(&device->saved, false) || !atomic_load(&device->active))
		return;
	if (device->ops->resume)
		device->ops->resume(device);
	for (unsigned i = 0; i < device->queue_count; i++)
		virtio_queue_run(&device->queues[i]);
}

static void device_resume(struct device *opaque)
{
	struct virtio_device *device = to_virtio(opaque);

	if (atomic_load(&device->saved) &&
	    event_loop_call(device->vm->io_loop, resume_on_loop, device) < 0)
		virtio_device_fail(device, "out of memory");
}

static int device_start(struct device *opaque, struct error *err)
{
	struct virtio_device *device = to_virtio(opaque);

	return device->ops->start ? device->ops->start(device, err) : 0;
}

static void device_resumed(struct device *opaque)
{
	struct virtio_device *device = to_virtio(opaque);

	if (device->ops->resumed)
		device->ops->resumed(device);
}

static void wait_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (device->ops->wait)
		device->ops->wait(device, 0);
}

int virtio_device_quiesce(struct virtio_device *device)
{
	uint64_t end = clock_now_ns() + STOP_MS * NS_PER_MS;
	int status = event_loop_call(device->vm->io_loop, quiesce_on_loop, device);

	while (status == 0 && is_busy(device)) {
		if (clock_now_ns() > end)
			return -EBUSY;
		usleep(STOP_STEP_US);
		status = event_loop_call(device->vm->io_loop, wait_on_loop, device);
	}
	return status;
}

static void device_describe(struct device *opaque, json_t *object)
{
	struct virtio_device *device = to_virtio(opaque);
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
	virtio_transport_describe(device, object);
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

/* How many devices of this type there are already. */
static unsigned device_number(const struct vm *vm, const char *type)
{
	unsigned number = 0;

	for (const struct device *device = vm->devices; device; device = device->next)
		number += strcmp(device->ops->name, type) == 0;
	return number;
}

int virtio_device_create(struct vm *vm, struct virtio_device *device, const struct virtio_ops *ops,
			 const char *prefix, uint64_t features, unsigned queue_count,
			 uint16_t queue_size, const void *config, unsigned config_size,
			 struct error *err)
{
	char name[sizeof(device->device.name)];
	int status;

	if (queue_count == 0 || queue_count > VIRTIO_QUEUES_MAX || queue_size == 0 ||
	    queue_size > VIRTIO_QUEUE_SIZE_MAX || (queue_size & (queue_size - 1)))
		return error_set(err, -EINVAL, "%s: %u queues of %u entries", ops->name,
				 queue_count, queue_size);
	device->ops = ops;
	device->vm = vm;
	device->features_offered = features | 1ull << VIRTIO_F_VERSION_1 |
				   1ull << VIRTIO_RING_F_EVENT_IDX |
				   1ull << VIRTIO_RING_F_INDIRECT_DESC;
	device->device_ops = (struct device_ops){
		.name = ops->name,
		.version = ops->version,
		.start = device_start,
		.quiesce = device_quiesce,
		.reset = device_reset,
		.destroy = device_destroy,
		.save = virtio_device_save,
		.resume = device_resume,
		.resumed = device_resumed,
		.load = virtio_device_load,
		.describe = device_describe,
	};
	pthread_mutex_init(&device->config_lock, NULL);
	device->config_size = config_size;
	device->config = calloc(1, config_size ? config_size : 1);
	status = device->config ? queues_create(device, queue_count, queue_size, err)
				: error_set(err, -ENOMEM, "%s: out of memory", ops->name);
	if (status == 0) {
		if (config_size)
			memcpy(device->config, config, config_size);
		status = virtio_transport_create(device, err);
	}
	if (status < 0) {
		device_free_parts(device);
		return status;
	}
	snprintf(name, sizeof(name), "%s%u", prefix, device_number(vm, ops->name));
	device_add(vm, &device->device, &device->device_ops, name, false);
	return 0;
}
