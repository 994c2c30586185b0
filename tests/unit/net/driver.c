// SPDX-License-Identifier: BSD-2-Clause
#include "driver.h"

#include <stdlib.h>
#include <string.h>

#include "util/container_of.h"

#define RAM_BASE 0x100000ull

struct driver driver;
bool driver_keeps_ram;

static struct error create_error;
static struct device *added;

REGISTRY_DECLARE(symvm_device_classes, struct device_class);

void *memory_translate(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	if (length == 0 || gpa < RAM_BASE || gpa - RAM_BASE > DRIVER_RAM ||
	    length > DRIVER_RAM - (gpa - RAM_BASE))
		return NULL;
	return driver.ram + (gpa - RAM_BASE);
}

void device_add(struct vm *vm, struct device *device, const struct device_ops *ops,
		const char *prefix, bool numbered)
{
	device->ops = ops;
	device->vm = vm;
	added = device;
}

void vm_end(struct vm *vm, enum vm_end reason)
{
}

/* The transport: only counts interrupts. */
static int fake_create(struct virtio_device *device, struct error *err);

static void fake_destroy(struct virtio_transport *transport)
{
}

static void fake_interrupt(struct virtio_transport *transport, unsigned queue)
{
	driver.interrupts[queue]++;
}

static void fake_config_interrupt(struct virtio_transport *transport)
{
}

static int fake_call_fd(struct virtio_transport *transport, unsigned queue)
{
	return -1;
}

static void fake_reset(struct virtio_transport *transport)
{
}

static int fake_save(struct virtio_transport *transport, struct serialize_writer *writer)
{
	return 0;
}

static int fake_load(struct virtio_transport *transport, struct serialize_reader *reader)
{
	return 0;
}

static bool fake_driver_ok(struct virtio_transport *transport)
{
	return true;
}

static const struct virtio_transport_ops fake_transport = {
	.name = "fake",
	.create = fake_create,
	.destroy = fake_destroy,
	.interrupt = fake_interrupt,
	.config_interrupt = fake_config_interrupt,
	.call_fd = fake_call_fd,
	.reset = fake_reset,
	.save = fake_save,
	.load = fake_load,
	.driver_ok = fake_driver_ok,
};
VIRTIO_TRANSPORT(fake_transport);

static int fake_create(struct virtio_device *device, struct error *err)
{
	driver.transport = (struct virtio_transport){.ops = &fake_transport, .device = device};
	device->transport = &driver.transport;
	return 0;
}

const char *driver_create(const char *option, const char *argument)
{
	uint8_t *ram = driver_keeps_ram ? driver.ram : NULL;
	const struct device_class *const *it;

	memset(&driver, 0, sizeof(driver));
	create_error.text[0] = '\0';
	added = NULL;
	log_init(&driver.vm.log, 2, LOG_LEVEL_ERROR);
	driver.ram = ram ? ram : calloc(1, DRIVER_RAM);
	if (!driver.ram || event_loop_create(&driver.vm.io_loop) < 0)
		abort();
	REGISTRY_FOR_EACH(symvm_device_classes, it) {
		if (strcmp((*it)->option, option) != 0)
			continue;
		if ((*it)->create(&driver.vm, argument, &create_error) < 0)
			return create_error.text;
		driver.device = container_of(added, struct virtio_device, device);
		return NULL;
	}
	abort();
}

void driver_destroy(void)
{
	if (driver.device)
		driver.device->device.ops->destroy(&driver.device->device);
	event_loop_destroy(driver.vm.io_loop);
	if (!driver_keeps_ram)
		free(driver.ram);
}

uint64_t driver_memory(uint32_t length)
{
	uint64_t gpa = RAM_BASE + driver.ram_used;

	driver.ram_used += (length + 15) & ~15u;
	if (driver.ram_used > DRIVER_RAM)
		abort();
	return gpa;
}

void driver_start(uint64_t features)
{
	struct virtio_device *device = driver.device;

	driver.ram_used = 0;
	memset(driver.ram, 0, DRIVER_RAM);
	memset(driver.descriptors, 0, sizeof(driver.descriptors));
	memset(driver.used_seen, 0, sizeof(driver.used_seen));
	device->features = (features | 1ull << VIRTIO_F_VERSION_1) & device->features_offered;
	for (unsigned i = 0; i < device->queue_count; i++) {
		struct virtio_queue *queue = &device->queues[i];

		queue->size = DRIVER_QUEUE_SIZE;
		queue->desc_gpa = driver_memory(16 * DRIVER_QUEUE_SIZE);
		queue->avail_gpa = driver_memory(6 + 2 * DRIVER_QUEUE_SIZE);
		queue->used_gpa = driver_memory(6 + 8 * DRIVER_QUEUE_SIZE);
		queue->enabled = true;
	}
	virtio_device_activate(device);
}

void driver_reset(void)
{
	virtio_device_deactivate(driver.device);
}

static struct vring_avail *avail_ring(unsigned queue)
{
	return memory_translate(NULL, driver.device->queues[queue].avail_gpa, 4);
}

void driver_descriptor(unsigned queue, uint16_t index, struct vring_desc desc)
{
	struct vring_desc *table = memory_translate(NULL, driver.device->queues[queue].desc_gpa,
						    16);

	table[index % DRIVER_QUEUE_SIZE] = desc;
}

void driver_make_available(unsigned queue, uint16_t head)
{
	struct vring_avail *avail = avail_ring(queue);

	avail->ring[avail->idx % DRIVER_QUEUE_SIZE] = head;
	avail->idx++;
}

static uint16_t add(unsigned queue, uint64_t gpa, uint32_t length, uint16_t flags)
{
	uint16_t head = driver.descriptors[queue]++ % DRIVER_QUEUE_SIZE;

	driver_descriptor(queue, head,
			  (struct vring_desc){.addr = gpa, .len = length, .flags = flags});
	driver_make_available(queue, head);
	return head;
}

uint16_t driver_add_out(unsigned queue, const void *data, uint32_t length)
{
	uint64_t gpa = driver_memory(length);

	memcpy(memory_translate(NULL, gpa, length), data, length);
	return add(queue, gpa, length, 0);
}

uint16_t driver_add_in(unsigned queue, uint64_t gpa, uint32_t length)
{
	return add(queue, gpa, length, VRING_DESC_F_WRITE);
}

void driver_kick(unsigned queue)
{
	virtio_queue_run(&driver.device->queues[queue]);
}

bool driver_take_used(unsigned queue, struct vring_used_elem *element)
{
	const struct vring_used *used = memory_translate(NULL,
							 driver.device->queues[queue].used_gpa, 4);

	if (used->idx == driver.used_seen[queue])
		return false;
	*element = used->ring[driver.used_seen[queue]++ % DRIVER_QUEUE_SIZE];
	return true;
}

bool driver_wants_kick(unsigned queue, uint16_t before)
{
	const struct vring_used *used = memory_translate(NULL,
							 driver.device->queues[queue].used_gpa, 4);
	uint16_t event;

	memcpy(&event, &used->ring[DRIVER_QUEUE_SIZE], sizeof(event));
	if (!(driver.device->features & 1ull << VIRTIO_RING_F_EVENT_IDX))
		return !(used->flags & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(event, avail_ring(queue)->idx, before);
}
