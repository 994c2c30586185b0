// SPDX-License-Identifier: BSD-2-Clause
/*
 * The PCI bus: config space, BARs and the host bridge (PCI Local Bus 3.0, 3.2.2 and 6).
 *
 * Guests reach config space by ECAM and by the ports 0xcf8/0xcfc; both end in the same two
 * functions. After each write that may change a mapping, the ranges on the VM's port and memory
 * buses are brought into line with the command register and the BARs. A device sees a BAR's new
 * place by its bar_mapped callback.
 */
#include "devices/pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "machine/device.h"
#include "machine/vm.h"

#define CONFIG_PORT	 0xcf8u /* address register, then data at 0xcfc */
#define CONFIG_PORT_SIZE 8u
#define CONFIG_ENABLE	 0x80000000u

struct pci_bus {
	struct device device; /* to save and to reset what is below */
	pthread_mutex_t lock;
	struct pci_function *slots[PCI_SLOTS];
	struct pci_function bridge;
	uint32_t config_address;
	uint64_t mmio_next; /* the next free address for a BAR */
	uint64_t pio_next;
};

static uint32_t config_get(const struct pci_function *function, unsigned offset, unsigned length)
{
	uint32_t value = 0;

	memcpy(&value, function->config + offset, length);
	return value;
}

static void config_set(struct pci_function *function, unsigned offset, uint32_t value,
		       unsigned length)
{
	memcpy(function->config + offset, &value, length);
}

static void config_set_writable(struct pci_function *function, unsigned offset, uint32_t mask,
				unsigned length)
{
	memcpy(function->writable + offset, &mask, length);
}

/* The address that the guest set for the BAR, or 0 if it is off or outside of our windows. */
static uint64_t bar_wanted(const struct pci_function *function, unsigned index)
{
	const struct pci_bar *bar = &function->bars[index];
	uint16_t command = (uint16_t)config_get(function, PCI_COMMAND, 2);
	uint64_t base = config_get(function, PCI_BASE_ADDRESS_0 + 4 * index, 4);
	uint64_t low = bar->pio ? PCI_PIO_BASE : PCI_MMIO_BASE;
	uint64_t high = bar->pio ? PCI_PIO_END : PCI_MMIO_END;

	if (!bar->size || !(command & (bar->pio ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return 0;
	base &= ~(bar->size - 1);
	return base >= low && base + bar->size <= high ? base : 0;
}

static struct bus *bar_space(struct pci_function *function, const struct pci_bar *bar)
{
	return bar->pio ? &function->vm->pio : &function->vm->mmio;
}

static void bar_unmap(struct pci_function *function, struct pci_bar *bar)
{
	if (!bar->mapped_at)
		return;
	bus_remove(bar_space(function, bar), bar->mapped_at);
	bar->mapped_at = 0;
	if (bar->moved)
		bar->moved(bar->opaque, 0);
}

/* Makes the buses agree with the command register and the BARs. The bus's lock is held. */
static void bars_follow(struct pci_function *function)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		struct pci_bar *bar = &function->bars[i];
		uint64_t wanted = bar_wanted(function, i);

		if (wanted == bar->mapped_at)
			continue;
		bar_unmap(function, bar);
		/*
		 * A BAR that overlaps another device's range stays unmapped: the guest made a
		 * mistake.
		 */
		if (!wanted || bus_add(bar_space(function, bar), wanted, bar->size, bar->access,
				       bar->opaque) < 0)
			continue;
		bar->mapped_at = wanted;
		if (bar->moved)
			bar->moved(bar->opaque, wanted);
	}
}

static bool access_touches(unsigned offset, unsigned length, unsigned first, unsigned size)
{
	return offset < first + size && first < offset + length;
}

static void config_write(struct pci_function *function, unsigned offset, const uint8_t *data,
			 unsigned length)
{
	for (unsigned i = 0; i < length; i++) {
		uint8_t mask = function->writable[offset + i];
		uint8_t *byte = &function->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (data[i] & mask));
	}
	if (access_touches(offset, length, PCI_COMMAND, 2) ||
	    access_touches(offset, length, PCI_BASE_ADDRESS_0, 4 * PCI_BARS))
		bars_follow(function);
	if (function->config_written)
		function->config_written(function, offset, length);
}

void pci_config_access(struct vm *vm, unsigned slot, unsigned offset, void *data, unsigned length,
		       bool is_write)
{
	struct pci_bus *bus = vm->pci;
	struct pci_function *function;

	if (slot >= PCI_SLOTS || (length != 1 && length != 2 && length != 4) || offset % length ||
	    offset + length > PCI_CONFIG_SIZE)
		return;
	pthread_mutex_lock(&bus->lock);
	function = bus->slots[slot];
	if (function && is_write) {
		config_write(function, offset, data, length);
	} else if (function) {
		if (function->config_reading)
			function->config_reading(function, offset, length);
		memcpy(data, function->config + offset, length);
	}
	pthread_mutex_unlock(&bus->lock);
}

/* @offset in the ECAM window: bus (one), slot, function, register. */
static void ecam_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	unsigned slot = (unsigned)(offset >> 15) & 31;

	if ((offset >> 12) & 7)
		return;
	if (length == 8) {
		/* PCI does not define this access; buses split it into two halves. */
		ecam_access(opaque, offset, data, 4, is_write);
		ecam_access(opaque, offset + 4, (uint8_t *)data + 4, 4, is_write);
		return;
	}
	pci_config_access(opaque, slot, (unsigned)offset & 0xfff, data, length, is_write);
}

static void port_access(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct vm *vm = opaque;
	uint32_t address;

	if (offset == 0 && length == 4) {
		pthread_mutex_lock(&vm->pci->lock);
		if (is_write)
			memcpy(&vm->pci->config_address, data, 4);
		else
			memcpy(data, &vm->pci->config_address, 4);
		pthread_mutex_unlock(&vm->pci->lock);
		return;
	}
	if (offset < 4)
		return;
	pthread_mutex_lock(&vm->pci->lock);
	address = vm->pci->config_address;
	pthread_mutex_unlock(&vm->pci->lock);
	/* Only bus 0, function 0 exists. */
	if (!(address & CONFIG_ENABLE) || (address & 0x00ff0700))
		return;
	pci_config_access(vm, (address >> 11) & 31, (address & 0xfc) + (unsigned)(offset - 4), data,
			  length, is_write);
}

void pci_bar_set(struct pci_function *function, unsigned index, uint64_t size, bool pio,
		 bus_access access, void *opaque, void (*moved)(void *, uint64_t))
{
	uint64_t rounded = pio ? 4 : 16;

	while (rounded < size)
		rounded <<= 1;
	function->bars[index] = (struct pci_bar){
		.size = rounded,
		.pio = pio,
		.access = access,
		.opaque = opaque,
		.moved = moved,
	};
}

static int bar_assign(struct pci_bus *bus, struct pci_function *function, unsigned index,
		      struct error *err)
{
	struct pci_bar *bar = &function->bars[index];
	uint64_t *next = bar->pio ? &bus->pio_next : &bus->mmio_next;
	uint64_t end = bar->pio ? PCI_PIO_END : PCI_MMIO_END;
	/* Memory BARs start on pages, so that a guest can map one without its neighbour. */
	uint64_t alignment = !bar->pio && bar->size < 4096 ? 4096 : bar->size;
	uint64_t base = (*next + alignment - 1) & ~(alignment - 1);

	if (base + bar->size > end)
		return error_set(err, -ENOSPC, "PCI: no room for a BAR of %llu bytes",
				 (unsigned long long)bar->size);
	*next = base + bar->size;
	bar->assigned = base;
	config_set(function, PCI_BASE_ADDRESS_0 + 4 * index,
		   (uint32_t)base | (bar->pio ? PCI_BASE_ADDRESS_SPACE_IO : 0), 4);
	config_set_writable(function, PCI_BASE_ADDRESS_0 + 4 * index, ~((uint32_t)bar->size - 1),
			    4);
	return 0;
}

static void identity_set(struct pci_function *function, const struct pci_identity *identity)
{
	bool memory = false, io = false;

	for (unsigned i = 0; i < PCI_BARS; i++) {
		memory |= function->bars[i].size && !function->bars[i].pio;
		io |= function->bars[i].size && function->bars[i].pio;
	}
	config_set(function, PCI_VENDOR_ID, identity->vendor, 2);
	config_set(function, PCI_DEVICE_ID, identity->device, 2);
	config_set(function, PCI_CLASS_REVISION, identity->class_code << 8 | identity->revision, 4);
	config_set(function, PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor, 2);
	config_set(function, PCI_SUBSYSTEM_ID, identity->subsystem, 2);
	config_set_writable(function, PCI_COMMAND,
			    PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE |
				    (memory ? PCI_COMMAND_MEMORY : 0) | (io ? PCI_COMMAND_IO : 0),
			    2);
	config_set_writable(function, PCI_INTERRUPT_LINE, 0xff, 1);
	config_set_writable(function, PCI_CACHE_LINE_SIZE, 0xff, 1);
}

int pci_function_add(struct vm *vm, struct pci_function *function,
		     const struct pci_identity *identity, struct error *err)
{
	struct pci_bus *bus = vm->pci;
	unsigned slot = 0;

	while (slot < PCI_SLOTS && bus->slots[slot])
		slot++;
	if (slot == PCI_SLOTS)
		return error_set(err, -ENOSPC, "PCI: all %u slots are taken", PCI_SLOTS);
	function->vm = vm;
	for (unsigned i = 0; i < PCI_BARS; i++) {
		int status = function->bars[i].size ? bar_assign(bus, function, i, err) : 0;

		if (status < 0)
			return status;
	}
	identity_set(function, identity);
	memcpy(function->power_on, function->config, sizeof(function->config));
	function->slot = slot;
	function->present = true;
	pthread_mutex_lock(&bus->lock);
	bus->slots[slot] = function;
	pthread_mutex_unlock(&bus->lock);
	return 0;
}

void pci_function_remove(struct pci_function *function)
{
	struct pci_bus *bus;

	if (!function->present)
		return;
	bus = function->vm->pci;
	pthread_mutex_lock(&bus->lock);
	for (unsigned i = 0; i < PCI_BARS; i++)
		bar_unmap(function, &function->bars[i]);
	bus->slots[function->slot] = NULL;
	function->present = false;
	pthread_mutex_unlock(&bus->lock);
}

int pci_capability_add(struct pci_function *function, uint8_t id, const void *data, unsigned length)
{
	unsigned at = function->capability_end ? function->capability_end : PCI_STD_HEADER_SIZEOF;
	unsigned end = (at + length + 3) & ~3u;

	/* The end is kept in a byte. The very last capability could overflow it. */
	if (length < 2 || end >= PCI_CONFIG_SIZE)
		return -ENOSPC;
	memcpy(function->config + at, data, length);
	function->config[at] = id;
	function->config[at + 1] = 0;
	if (function->capability_last)
		function->config[function->capability_last + 1] = (uint8_t)at;
	else
		function->config[PCI_CAPABILITY_LIST] = (uint8_t)at;
	function->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->capability_last = (uint8_t)at;
	function->capability_end = (uint8_t)end;
	return (int)at;
}

void pci_function_reset(struct pci_function *function)
{
	struct pci_bus *bus = function->vm->pci;

	pthread_mutex_lock(&bus->lock);
	memcpy(function->config, function->power_on, sizeof(function->config));
	bars_follow(function);
	pthread_mutex_unlock(&bus->lock);
}

int pci_function_save(struct pci_function *function, struct serialize_writer *writer)
{
	struct pci_bus *bus = function->vm->pci;

	pthread_mutex_lock(&bus->lock);
	serialize_put_u8(writer, (uint8_t)function->slot);
	serialize_put_bytes(writer, function->config, sizeof(function->config));
	pthread_mutex_unlock(&bus->lock);
	return writer->status;
}

int pci_function_load(struct pci_function *function, struct serialize_reader *reader)
{
	struct pci_bus *bus = function->vm->pci;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t slot = serialize_get_u8(reader);

	serialize_get_bytes(reader, config, sizeof(config));
	if (reader->status < 0 || slot != function->slot)
		return -EINVAL;
	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		if ((config[i] ^ function->power_on[i]) & ~function->writable[i])
			return -EINVAL;
	pthread_mutex_lock(&bus->lock);
	memcpy(function->config, config, sizeof(config));
	bars_follow(function);
	pthread_mutex_unlock(&bus->lock);
	return 0;
}

static void host_reset(struct device *device)
{
	struct pci_bus *bus = device->vm->pci;

	bus->config_address = 0;
	pci_function_reset(&bus->bridge);
}

static int host_save(struct device *device, struct serialize_writer *writer)
{
	struct pci_bus *bus = device->vm->pci;

	serialize_put_u32(writer, bus->config_address);
	return pci_function_save(&bus->bridge, writer);
}

static int host_load(struct device *device, struct serialize_reader *reader, uint32_t version)
{
	struct pci_bus *bus = device->vm->pci;
	uint32_t address = serialize_get_u32(reader);
	int status;

	if (version != 1)
		return -EINVAL;
	status = pci_function_load(&bus->bridge, reader);
	if (status == 0)
		bus->config_address = address;
	return status;
}

static void bus_free(struct vm *vm)
{
	bus_remove(&vm->pio, CONFIG_PORT);
	bus_remove(&vm->mmio, PCI_ECAM_BASE);
	pthread_mutex_destroy(&vm->pci->lock);
	free(vm->pci);
	vm->pci = NULL;
}

/* The bus was created first, so it is destroyed last: no function needs it any more. */
static void host_destroy(struct device *device)
{
	bus_free(device->vm);
}

static const struct device_ops host_ops = {
	.name = "pci-host",
	.version = 1,
	.reset = host_reset,
	.destroy = host_destroy,
	.save = host_save,
	.load = host_load,
};

int pci_bus_create(struct vm *vm, struct error *err)
{
	/* A plain host bridge that all kernels know: QEMU's generic PCIe host. */
	static const struct pci_identity identity = {
		.vendor = 0x1b36, .device = 0x0008, .class_code = 0x060000};
	struct pci_bus *bus = calloc(1, sizeof(*bus));
	int status;

	if (!bus)
		return error_set(err, -ENOMEM, "PCI: out of memory");
	pthread_mutex_init(&bus->lock, NULL);
	bus->mmio_next = PCI_MMIO_BASE;
	bus->pio_next = PCI_PIO_BASE;
	vm->pci = bus;
	status = pci_function_add(vm, &bus->bridge, &identity, err);
	if (status == 0)
		status = bus_add(&vm->pio, CONFIG_PORT, CONFIG_PORT_SIZE, port_access, vm);
	if (status == 0)
		status = bus_add(&vm->mmio, PCI_ECAM_BASE, PCI_ECAM_SIZE, ecam_access, vm);
	if (status < 0) {
		bus_free(vm);
		return error_set_errno(err, status, "PCI: the bus does not fit in");
	}
	device_add(vm, &bus->device, &host_ops, "pci", false);
	return 0;
}

static int bus_create(struct vm *vm, const char *argument, struct error *err)
{
	return pci_bus_create(vm, err);
}

static const struct device_class bus_class = {
	.order = -1, /* before all others, which may be on this bus */
	.create = bus_create,
};
DEVICE_CLASS(bus_class);
