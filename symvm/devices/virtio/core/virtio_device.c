// SPDX-License-Identifier: BSD-2-Clause
/*
 * The life of a virtio device: activation, kicks, quiescing and resuming, reset.
 *
 *	created --DRIVER_OK--> active --reset--> (quiesced for reset, while busy) --> created
 *	active --save---> quiesced for save ---resume--> active
 *	active --unplug-> quiesced for range --resume--> active
 *
 * All changes happen on the I/O loop's thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtio_device_internal.h"
#include "devices/virtio/core/virtqueue.h"
#include "machine/vm.h"
#include "util/clock.h"

/* How long a save waits for requests that the host does not complete, and a reset silently. */
#define STOP_MS	     5000u
#define STOP_STEP_US 2000u

/* A kick may come late: after a quiesce() the guest's memory must not be touched. */
void virtio_queue_run(struct virtio_queue *queue)
{
	struct virtio_device *device = queue->device;

	if (atomic_load(&device->active) && !atomic_load(&device->failed) &&
	    !atomic_load(&device->quiesced_for_save) && queue->enabled && !queue->external)
		device->ops->notified(device, queue);
}

void virtio_queue_again(struct virtio_queue *queue)
{
	uint64_t one = 1;

	/* Like a kick of our own: the loop looks at all other sources first. */
	queue->again = write(queue->kick_fd, &one, sizeof(one)) == sizeof(one);
}

/*
 * Edge triggered: each kick wakes us once without a read of the eventfd. Its count cannot overflow
 * in practice.
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
	atomic_store(&device->quiesced_for_save, false);
	atomic_store(&device->quiesced_for_reset, false);
}

static void deactivate_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (atomic_load(&device->quiesced_for_reset)) {
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
		atomic_store(&device->quiesced_for_reset, true);
	else
		deactivate_end(device);
}

void virtio_device_idle(struct virtio_device *device)
{
	if (atomic_load(&device->quiesced_for_reset) && !is_busy(device))
		deactivate_end(device);
}

void virtio_device_activate(struct virtio_device *device)
{
	if (event_loop_call(device->vm->io_loop, activate_on_loop, device) < 0)
		virtio_device_fail(device, "out of memory");
}

bool virtio_device_deactivate(struct virtio_device *device)
{
	/* Without memory for the message the reset would be lost, and DMA could continue. */
	while (event_loop_call(device->vm->io_loop, deactivate_on_loop, device) == -ENOMEM)
		usleep(1000);
	return !atomic_load(&device->quiesced_for_reset);
}

/*
 * Waits until the device no longer uses the guest's memory. A disk may be stuck, and the memory
 * must not be used for anything else before that. False if the VM ended first.
 */
static bool deactivate_whole(struct virtio_device *device)
{
	struct vm *vm = device->vm;
	uint64_t complain_ns = clock_now_ns() + STOP_MS * NS_PER_MS;

	while (!virtio_device_deactivate(device)) {
		if (vm_has_ended(vm))
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

/* The VM core may call quiesce() first; then this does not wait. */
void virtio_device_op_reset(struct device *device)
{
	struct virtio_device *virtio = virtio_device_of(device);

	if (!deactivate_whole(virtio))
		return;
	virtio->transport->ops->reset(virtio->transport);
	if (virtio->ops->power_on)
		virtio->ops->power_on(virtio);
}

/* The first virtio device of the VM from @device on, @device included; NULL if there is none. */
static struct virtio_device *next_virtio(struct device *device)
{
	while (device && device->ops->reset != virtio_device_op_reset)
		device = device->next;
	return device ? virtio_device_of(device) : NULL;
}

struct virtio_device *virtio_device_find(struct vm *vm, const struct virtio_ops *ops)
{
	struct virtio_device *device = next_virtio(vm->devices);

	while (device && device->ops != ops)
		device = next_virtio(device->device.next);
	return device;
}

unsigned virtio_device_count(struct vm *vm, const struct virtio_ops *ops)
{
	struct virtio_device *device;
	unsigned count = 0;

	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next))
		count += device->ops == ops;
	return count;
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

/* Lets the device give back the driver's requests. A device with holds() was asked already. */
static void range_quiesce(struct virtio_device *device)
{
	bool holds = false;

	for (unsigned i = 0; i < device->queue_count; i++)
		holds |= !device->queues[i].external && device->queues[i].in_flight;
	if (!holds || !device->ops->quiesce || device->ops->holds ||
	    !atomic_load(&device->active) || atomic_load(&device->quiesced_for_save))
		return;
	device->ops->quiesce(device);
	device->quiesced_for_range = true;
}

int virtio_devices_quiesce(struct vm *vm, const void *memory, uint64_t length)
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
		range_quiesce(device);
	return 0;
}

/* The device serves its queues again, first what the driver made available meanwhile. */
static void service_resume(struct virtio_device *device)
{
	if (device->ops->resume)
		device->ops->resume(device);
	for (unsigned i = 0; i < device->queue_count; i++)
		virtio_queue_run(&device->queues[i]);
}

void virtio_devices_resume(struct vm *vm)
{
	struct virtio_device *device;

	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next)) {
		if (!device->quiesced_for_range)
			continue;
		device->quiesced_for_range = false;
		service_resume(device);
	}
}

void virtio_devices_stop(struct vm *vm)
{
	struct virtio_device *device;

	for (device = next_virtio(vm->devices); device; device = next_virtio(device->device.next))
		deactivate_whole(device);
}

bool virtio_device_op_quiesce(struct device *device)
{
	return virtio_device_deactivate(virtio_device_of(device));
}

static void quiesce_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (!atomic_load(&device->active))
		return;
	atomic_store(&device->quiesced_for_save, true);
	if (device->ops->quiesce)
		device->ops->quiesce(device);
}

static void resume_on_loop(void *opaque)
{
	struct virtio_device *device = opaque;

	if (!atomic_exchange(&device->quiesced_for_save, false) || !atomic_load(&device->active))
		return;
	service_resume(device);
}

void virtio_device_op_resume(struct device *opaque)
{
	struct virtio_device *device = virtio_device_of(opaque);

	if (atomic_load(&device->quiesced_for_save) &&
	    event_loop_call(device->vm->io_loop, resume_on_loop, device) < 0)
		virtio_device_fail(device, "out of memory");
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
