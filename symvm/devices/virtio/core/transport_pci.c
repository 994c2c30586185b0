// SPDX-License-Identifier: BSD-2-Clause
/*
 * Virtio over PCI (VIRTIO 1.2, 4.1), modern only. BAR 0 is an I/O space with one port per queue for
 * notifications: a port is the cheapest exit, and an ioeventfd answers it inside KVM. BAR 1 holds
 * everything else, each structure on a page of its own.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/core/pci_common_cfg.h"
#include "devices/virtio/core/virtio_device.h"
#include "machine/vm.h"
#include "util/container_of.h"

#define BAR_NOTIFY 0u
#define BAR_REST   1u

#define NOTIFY_STRIDE 4u /* bytes between the ports of two queues */

#define COMMON_OFFSET 0x0000u
#define ISR_OFFSET    0x1000u
#define ISR_SIZE      0x0001u
#define CONFIG_OFFSET 0x2000u
#define CONFIG_SIZE   0x1000u
#define MSIX_OFFSET   0x3000u
#define PBA_OFFSET    0x3800u
#define REST_SIZE     0x4000u

static struct virtio_pci *to_pci(struct virtio_transport *transport)
{
	return container_of(transport, struct virtio_pci, transport);
}

static void transport_interrupt(struct virtio_transport *transport, unsigned queue)
{
	struct virtio_pci *pci = to_pci(transport);
	uint16_t vector = atomic_load(&pci->vectors[queue]);

	atomic_fetch_or(&pci->isr, VIRTIO_ISR_QUEUE);
	if (vector != VIRTIO_MSI_NO_VECTOR)
		msix_notify(pci->msix, vector);
}

static void transport_config_interrupt(struct virtio_transport *transport)
{
	struct virtio_pci *pci = to_pci(transport);
	uint16_t vector = atomic_load(&pci->config_vector);

	atomic_fetch_or(&pci->isr, VIRTIO_PCI_ISR_CONFIG);
	if (vector != VIRTIO_MSI_NO_VECTOR)
		msix_notify(pci->msix, vector);
}

static int transport_call_fd(struct virtio_transport *transport, unsigned queue)
{
	struct virtio_pci *pci = to_pci(transport);

	return msix_eventfd(pci->msix, atomic_load(&pci->vectors[queue]));
}

static void config_access(struct virtio_pci *pci, unsigned offset, void *data, unsigned length,
			  bool is_write)
{
	struct virtio_device *device = pci->transport.device;

	if (offset >= device->config_size || length > device->config_size - offset)
		return;
	if (!is_write) {
		pthread_mutex_lock(&device->config_lock);
		memcpy(data, device->config + offset, length);
		pthread_mutex_unlock(&device->config_lock);
	} else if (device->ops->config_written) {
		device->ops->config_written(device, offset, data, length);
	}
}

static void rest_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct virtio_pci *pci = opaque;

	if (offset < COMMON_OFFSET + VIRTIO_REGISTERS_SIZE) {
		virtio_registers_access(pci, (unsigned)offset - COMMON_OFFSET, data, length,
					is_write);
	} else if (offset == ISR_OFFSET && !is_write) {
		memset(data, 0, length);
		*(uint8_t *)data = atomic_exchange(&pci->isr, 0);
	} else if (offset >= CONFIG_OFFSET && offset < CONFIG_OFFSET + CONFIG_SIZE) {
		config_access(pci, (unsigned)offset - CONFIG_OFFSET, data, length, is_write);
	} else {
		msix_access(pci->msix, offset, data, length, is_write);
	}
}

/* A kick that no ioeventfd took: doorbells are caught, its width is not 2, or KVM refused it. */
static void notify_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct virtio_pci *pci = opaque;
	uint64_t index = offset / NOTIFY_STRIDE, one = 1;
	struct virtio_device *device = pci->transport.device;

	if (!is_write || offset % NOTIFY_STRIDE || index >= device->queue_count)
		return;
	/* If the counter is full, it has been signalled already. */
	if (write(device->queues[index].kick_fd, &one, sizeof(one)) < 0)
		return;
}

/* The doorbells appear at @base. A queue whose doorbell KVM refuses works, but slower. */
static void doorbells_add(struct virtio_pci *pci, uint64_t base)
{
	struct virtio_device *device = pci->transport.device;

	for (unsigned i = 0; i < device->queue_count; i++) {
		struct doorbell *doorbell = &pci->doorbells[i];
		int status;

		*doorbell = (struct doorbell){
			.port = base + NOTIFY_STRIDE * i,
			.fd = device->queues[i].kick_fd,
			.device = device->device.name,
			.queue = i,
		};
		status = doorbell_add(device->vm, doorbell);
		if (status < 0)
			log_limited(&device->vm->log, LOG_LEVEL_DEBUG, "%s: no ioeventfd: %s",
				    device->device.name, strerror(-status));
	}
}

/*
 * The notify BAR was mapped at @base or unmapped: moves the doorbells. The PCI bus's lock is held.
 */
static void notify_moved(void *opaque, uint64_t base)
{
	struct virtio_pci *pci = opaque;

	if (pci->notify_base)
		for (unsigned i = 0; i < pci->transport.device->queue_count; i++)
			doorbell_remove(pci->transport.device->vm, &pci->doorbells[i]);
	pci->notify_base = base;
	if (base)
		doorbells_add(pci, base);
}

static void transport_describe(struct virtio_transport *transport, json_t *object)
{
	uint64_t base = atomic_load(&to_pci(transport)->notify_base);
	json_int_t size = (json_int_t)NOTIFY_STRIDE * transport->device->queue_count;
	bool caught = doorbells_are_caught(transport->device->vm);

	if (base)
		json_object_set_new(
			object, "doorbells",
			json_pack("{s:I, s:I, s:s}", "port", (json_int_t)base, "ports", size,
				  "served_by",
				  caught ? "exits, for a watch" : "ioeventfd, without exits"));
}

/*
 * The access window (4.1.4.9): the driver writes BAR, offset and length into the capability. An
 * access to the capability's data is then an access to that BAR. The PCI bus's lock is held.
 */
static void window_access(struct virtio_pci *pci, bool is_write)
{
	struct pci_function *function = &pci->function;
	struct virtio_pci_cfg_cap cap;
	const struct pci_bar *bar;

	memcpy(&cap, function->config + pci->window, sizeof(cap));
	if (cap.cap.bar != BAR_NOTIFY && cap.cap.bar != BAR_REST)
		return;
	bar = &function->bars[cap.cap.bar];
	if ((cap.cap.length != 1 && cap.cap.length != 2 && cap.cap.length != 4) ||
	    cap.cap.offset % cap.cap.length || cap.cap.offset >= bar->size ||
	    cap.cap.length > bar->size - cap.cap.offset)
		return;
	if (!is_write)
		memset(cap.pci_cfg_data, 0xff, sizeof(cap.pci_cfg_data));
	bar->access(bar->opaque, cap.cap.offset, cap.pci_cfg_data, cap.cap.length, is_write);
	if (!is_write)
		memcpy(function->config + pci->window +
			       offsetof(struct virtio_pci_cfg_cap, pci_cfg_data),
		       cap.pci_cfg_data, sizeof(cap.pci_cfg_data));
}

static bool touches_window(const struct virtio_pci *pci, unsigned offset, unsigned length)
{
	unsigned data = pci->window + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

	return pci->window && offset < data + 4 && data < offset + length;
}

static void config_written(struct pci_function *function, unsigned offset, unsigned length)
{
	struct virtio_pci *pci = container_of(function, struct virtio_pci, function);

	msix_config_written(pci->msix, offset, length);
	if (touches_window(pci, offset, length))
		window_access(pci, true);
}

static void config_reading(struct pci_function *function, unsigned offset, unsigned length)
{
	struct virtio_pci *pci = container_of(function, struct virtio_pci, function);

	if (touches_window(pci, offset, length))
		window_access(pci, false);
}

static int capability_add(struct virtio_pci *pci, uint8_t type, uint8_t bar, uint32_t offset,
			  uint32_t length, struct error *err)
{
	union {
		struct virtio_pci_cap cap;
		struct virtio_pci_notify_cap notify;
		struct virtio_pci_cfg_cap window;
	} u = {.cap = {.cfg_type = type, .bar = bar, .offset = offset, .length = length}};
	int at;

	u.cap.cap_len = sizeof(u.cap);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG) {
		u.cap.cap_len = sizeof(u.notify);
		u.notify.notify_off_multiplier = NOTIFY_STRIDE;
	} else if (type == VIRTIO_PCI_CAP_PCI_CFG) {
		u.cap.cap_len = sizeof(u.window);
	}
	at = pci_capability_add(&pci->function, PCI_CAP_ID_VNDR, &u, u.cap.cap_len);
	if (at < 0)
		return error_set(err, at, "%s: PCI config space is full",
				 pci->transport.device->ops->name);
	return at;
}

static int capabilities_add(struct virtio_pci *pci, struct error *err)
{
	struct virtio_device *device = pci->transport.device;
	uint8_t *writable = pci->function.writable;
	int status;

	status = capability_add(pci, VIRTIO_PCI_CAP_COMMON_CFG, BAR_REST, COMMON_OFFSET,
				VIRTIO_REGISTERS_SIZE, err);
	if (status >= 0)
		status = capability_add(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, BAR_NOTIFY, 0,
					NOTIFY_STRIDE * device->queue_count, err);
	if (status >= 0)
		status = capability_add(pci, VIRTIO_PCI_CAP_ISR_CFG, BAR_REST, ISR_OFFSET, ISR_SIZE,
					err);
	if (status >= 0 && device->config_size)
		status = capability_add(pci, VIRTIO_PCI_CAP_DEVICE_CFG, BAR_REST, CONFIG_OFFSET,
					device->config_size, err);
	if (status >= 0)
		status = capability_add(pci, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0, err);
	if (status < 0)
		return status;
	pci->window = (unsigned)status;
	writable[status + (int)offsetof(struct virtio_pci_cap, bar)] = 0xff;
	memset(&writable[status + (int)offsetof(struct virtio_pci_cap, offset)], 0xff,
	       sizeof(struct virtio_pci_cfg_cap) - offsetof(struct virtio_pci_cap, offset));
	return 0;
}

static void transport_destroy(struct virtio_transport *transport)
{
	struct virtio_pci *pci = to_pci(transport);

	pci_function_remove(&pci->function);
	msix_destroy(pci->msix);
	pthread_mutex_destroy(&pci->lock);
	transport->device->transport = NULL;
	free(pci);
}

static void transport_reset(struct virtio_transport *transport)
{
	struct virtio_pci *pci = to_pci(transport);

	pthread_mutex_lock(&pci->lock);
	virtio_registers_reset(pci);
	pthread_mutex_unlock(&pci->lock);
	msix_reset(pci->msix);
	pci_function_reset(&pci->function);
}

static int transport_save(struct virtio_transport *transport, struct serialize_writer *writer)
{
	struct virtio_pci *pci = to_pci(transport);
	int status = pci_function_save(&pci->function, writer);

	if (status == 0)
		status = msix_save(pci->msix, writer);
	virtio_registers_save(pci, writer);
	return writer->status < 0 ? writer->status : status;
}

static int transport_load(struct virtio_transport *transport, struct serialize_reader *reader)
{
	struct virtio_pci *pci = to_pci(transport);
	int status = pci_function_load(&pci->function, reader);

	if (status == 0)
		status = msix_load(pci->msix, reader);
	return status < 0 ? status : virtio_registers_load(pci, reader);
}

static bool transport_driver_ok(struct virtio_transport *transport)
{
	return virtio_registers_driver_ok(to_pci(transport));
}

static int transport_create(struct virtio_device *device, struct error *err);

static const struct virtio_transport_ops pci_transport = {
	.name = "pci",
	.create = transport_create,
	.destroy = transport_destroy,
	.interrupt = transport_interrupt,
	.config_interrupt = transport_config_interrupt,
	.call_fd = transport_call_fd,
	.reset = transport_reset,
	.save = transport_save,
	.load = transport_load,
	.driver_ok = transport_driver_ok,
	.describe = transport_describe,
};
VIRTIO_TRANSPORT(pci_transport);

static struct virtio_pci *pci_make(struct virtio_device *device)
{
	struct virtio_pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return NULL;
	pthread_mutex_init(&pci->lock, NULL);
	pci->transport = (struct virtio_transport){.ops = &pci_transport, .device = device};
	virtio_registers_reset(pci);
	pci->function.vm = device->vm;
	pci->function.config_written = config_written;
	pci->function.config_reading = config_reading;
	pci_bar_set(&pci->function, BAR_NOTIFY, NOTIFY_STRIDE * device->queue_count, true,
		    notify_access, pci, notify_moved);
	pci_bar_set(&pci->function, BAR_REST, REST_SIZE, false, rest_access, pci, NULL);
	return pci;
}

static int transport_create(struct virtio_device *device, struct error *err)
{
	const struct pci_identity identity = {
		.vendor = 0x1af4,
		.device = (uint16_t)(0x1040 + device->ops->id),
		.subsystem_vendor = 0x1af4,
		.subsystem = (uint16_t)(0x40 + device->ops->id),
		.class_code = device->ops->class_code,
		.revision = 1,
	};
	struct virtio_pci *pci;
	int status;

	if (device->config_size > CONFIG_SIZE)
		return error_set(err, -EINVAL, "%s: its config space is too large",
				 device->ops->name);
	pci = pci_make(device);
	if (!pci)
		return error_set(err, -ENOMEM, "%s: out of memory", device->ops->name);
	device->transport = &pci->transport;
	status = msix_create(&pci->function, device->queue_count + 1, BAR_REST, MSIX_OFFSET,
			     PBA_OFFSET, &pci->msix, err);
	if (status == 0)
		status = capabilities_add(pci, err);
	if (status == 0)
		status = pci_function_add(device->vm, &pci->function, &identity, err);
	if (status < 0)
		transport_destroy(&pci->transport);
	return status;
}
