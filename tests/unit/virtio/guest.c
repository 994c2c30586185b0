// SPDX-License-Identifier: BSD-2-Clause
#include "guest.h"

#include "jail/jail.h"
#include "util/container_of.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/userfaultfd.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

REGISTRY_DECLARE(symvm_device_classes, struct device_class);

#define GUARD 4096u

/* Memory between two pages that no access may touch. */
static void region_add(struct guest *guest, uint64_t gpa, uint64_t size, bool ram)
{
	uint8_t *map = mmap(NULL, size + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || mprotect(map + GUARD, size, PROT_READ | PROT_WRITE) < 0)
		abort();
	guest->vm.memory.regions[guest->vm.memory.count++] = (struct memory_region){
		.gpa = gpa, .size = size, .hva = map + GUARD, .fd = -1, .ram = ram};
}

struct guest *guest_create(void)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	struct error err;

	if (!guest)
		abort();
	atomic_store(&guest->vm.end, VM_END_NONE);
	guest->vm.fd = -1;
	guest->vm.kvm_fd = -1;
	doorbells_init(&guest->vm.doorbells);
	guest->log_fd = memfd_create("log", MFD_CLOEXEC);
	log_init(&guest->vm.log, guest->log_fd, LOG_LEVEL_INFO);
	for (unsigned i = 0; i < 256; i++)
		guest->gsi[i].event_fd = -1;
	region_add(guest, 0, GUEST_RAM_SIZE, true);
	region_add(guest, GUEST_HIGH_BASE, GUEST_HIGH_SIZE, true);
	region_add(guest, GUEST_WINDOW, GUEST_HIGH_SIZE, false);
	guest->vm.memory.ram_size = GUEST_RAM_SIZE + GUEST_HIGH_SIZE;
	if (bus_init(&guest->vm.pio) < 0 || bus_init(&guest->vm.mmio) < 0 ||
	    event_loop_create(&guest->vm.io_loop) < 0 || pci_bus_create(&guest->vm, &err) < 0)
		abort();
	return guest;
}

void guest_destroy(struct guest *guest)
{
	guest_unstall(guest);
	guest_loop_stop(guest);
	devices_destroy(&guest->vm);
	event_loop_destroy(guest->vm.io_loop);
	bus_destroy(&guest->vm.pio);
	bus_destroy(&guest->vm.mmio);
	for (unsigned i = 0; i < guest->vm.memory.count; i++)
		munmap(guest->vm.memory.regions[i].hva - GUARD,
		       guest->vm.memory.regions[i].size + 2 * GUARD);
	doorbells_destroy(&guest->vm.doorbells);
	close(guest->log_fd);
	free(guest);
}

static void *loop_run(void *opaque)
{
	event_loop_run(opaque);
	return NULL;
}

void guest_loop_start(struct guest *guest)
{
	if (pthread_create(&guest->loop_thread, NULL, loop_run, guest->vm.io_loop))
		abort();
	guest->loop_runs = true;
}

void guest_loop_stop(struct guest *guest)
{
	if (!guest->loop_runs)
		return;
	event_loop_quit(guest->vm.io_loop);
	pthread_join(guest->loop_thread, NULL);
	guest->loop_runs = false;
}

static void nothing(void *opaque)
{
}

void guest_loop_settle(struct guest *guest)
{
	if (event_loop_call(guest->vm.io_loop, nothing, NULL) < 0)
		abort();
}

unsigned guest_log_lines(struct guest *guest)
{
	unsigned lines = 0;
	char text[4096];
	off_t at = 0;
	ssize_t count;

	while ((count = pread(guest->log_fd, text, sizeof(text), at)) > 0) {
		at += count;
		for (ssize_t i = 0; i < count; i++)
			lines += text[i] == '\n';
	}
	return lines;
}

void vm_end(struct vm *vm, enum vm_end reason)
{
	int none = VM_END_NONE;

	atomic_compare_exchange_strong(&vm->end, &none, (int)reason);
}

int vm_pause_begin(struct vm *vm)
{
	if (vm->state == VM_STATE_PAUSED)
		return -EALREADY;
	vm->state = VM_STATE_PAUSED;
	return 0;
}

/* There is no jail. Weak, because the console's test has the real one for its guard. */
__attribute__((weak)) int jail_enter_thread(struct jail *jail, enum jail_thread kind,
					    struct error *err)
{
	return 0;
}

/* Starts the device that was made last. */
static int device_start(struct guest *guest, struct error *err)
{
	struct device *device = guest->vm.devices;

	while (device->next)
		device = device->next;
	return device->ops->start ? device->ops->start(device, err) : 0;
}

int guest_device_create(struct guest *guest, const char *option, const char *argument,
			struct error *err)
{
	const struct device_class *const *it;
	int status = -ENODEV;

	REGISTRY_FOR_EACH(symvm_device_classes, it) {
		if ((*it)->order < 0) /* the bus itself, which exists already */
			continue;
		if ((*it)->option == option ||
		    ((*it)->option && option && strcmp((*it)->option, option) == 0))
			status = (*it)->create(&guest->vm, argument, err);
	}
	return status < 0 ? status : device_start(guest, err);
}

struct virtio_device *guest_virtio(struct guest *guest)
{
	struct device *device = guest->vm.devices;

	while (device->next)
		device = device->next;
	return container_of(device, struct virtio_device, device);
}

static struct guest *to_guest(struct irq_router *irq)
{
	return container_of(irq, struct guest, vm.irq);
}

int irq_msi_alloc(struct irq_router *irq)
{
	struct guest *guest = to_guest(irq);

	for (int i = 24; i < 256; i++) {
		if (!guest->gsi[i].used) {
			guest->gsi[i].used = true;
			return i;
		}
	}
	return -ENOSPC;
}

void irq_msi_free(struct irq_router *irq, int gsi)
{
	to_guest(irq)->gsi[gsi].used = false;
	to_guest(irq)->gsi[gsi].routed = false;
}

int irq_msi_route(struct irq_router *irq, int gsi, bool enable, uint64_t address, uint32_t data)
{
	to_guest(irq)->gsi[gsi].routed = enable;
	to_guest(irq)->gsi[gsi].address = address;
	to_guest(irq)->gsi[gsi].data = data;
	return 0;
}

int irq_fd_assign(struct irq_router *irq, int event_fd, int gsi)
{
	to_guest(irq)->gsi[gsi].event_fd = event_fd;
	return 0;
}

int irq_fd_deassign(struct irq_router *irq, int event_fd, int gsi)
{
	to_guest(irq)->gsi[gsi].event_fd = -1;
	return 0;
}

int guest_interrupts(struct guest *guest, uint32_t data)
{
	for (unsigned i = 24; i < 256; i++) {
		uint64_t count;

		if (!guest->gsi[i].routed || guest->gsi[i].data != data ||
		    guest->gsi[i].event_fd < 0)
			continue;
		if (read(guest->gsi[i].event_fd, &count, sizeof(count)) != sizeof(count))
			return 0;
		return (int)count;
	}
	return -1;
}

void *guest_ram(struct guest *guest, uint64_t gpa, uint64_t length)
{
	void *hva = memory_translate(&guest->vm.memory, gpa, length);

	if (!hva)
		abort();
	return hva;
}

uint32_t guest_config_read(struct guest *guest, unsigned slot, unsigned offset, unsigned length)
{
	uint32_t value = 0;

	bus_dispatch(&guest->vm.mmio, PCI_ECAM_BASE + (slot << 15) + offset, &value, length, false);
	return value;
}

void guest_config_write(struct guest *guest, unsigned slot, unsigned offset, uint32_t value,
			unsigned length)
{
	bus_dispatch(&guest->vm.mmio, PCI_ECAM_BASE + (slot << 15) + offset, &value, length, true);
}

uint64_t guest_read(struct guest *guest, uint64_t address, unsigned length)
{
	uint64_t value = 0;

	bus_dispatch(&guest->vm.mmio, address, &value, length, false);
	return value;
}

void guest_write(struct guest *guest, uint64_t address, uint64_t value, unsigned length)
{
	bus_dispatch(&guest->vm.mmio, address, &value, length, true);
}

static void driver_take_capability(struct driver *driver, unsigned at)
{
	struct guest *guest = driver->guest;
	unsigned bar = guest_config_read(guest, driver->slot, at + VIRTIO_PCI_CAP_BAR, 1);
	uint64_t address = guest_config_read(guest, driver->slot, PCI_BASE_ADDRESS_0 + 4 * bar, 4) &
			   ~3ull;

	address += guest_config_read(guest, driver->slot, at + VIRTIO_PCI_CAP_OFFSET, 4);
	switch (guest_config_read(guest, driver->slot, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		driver->common = address;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		driver->notify = (uint16_t)address;
		driver->notify_stride = guest_config_read(guest, driver->slot,
							  at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		driver->isr = address;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		driver->config = address;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		driver->window = at;
		break;
	}
}

bool driver_probe(struct guest *guest, unsigned slot, struct driver *driver)
{
	unsigned at = guest_config_read(guest, slot, PCI_CAPABILITY_LIST, 1);
	unsigned hops = 0;

	*driver = (struct driver){.guest = guest, .slot = slot};
	if (guest_config_read(guest, slot, PCI_VENDOR_ID, 2) != 0x1af4)
		return false;
	for (; at && hops < 64; at = guest_config_read(guest, slot, at + 1, 1), hops++) {
		unsigned id = guest_config_read(guest, slot, at, 1);

		if (id == PCI_CAP_ID_VNDR)
			driver_take_capability(driver, at);
		if (id == PCI_CAP_ID_MSIX) {
			uint32_t table = guest_config_read(guest, slot, at + PCI_MSIX_TABLE, 4);

			driver->msix_capability = at;
			driver->msix = guest_config_read(guest, slot,
							 PCI_BASE_ADDRESS_0 + 4 * (table & 7), 4) +
				       (table & ~7u);
		}
	}
	guest_config_write(guest, slot, PCI_COMMAND,
			   PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	return true;
}

uint64_t driver_features(struct driver *driver)
{
	uint64_t features;

	guest_write(driver->guest, driver->common + VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	features = guest_read(driver->guest, driver->common + VIRTIO_PCI_COMMON_DF, 4) << 32;
	guest_write(driver->guest, driver->common + VIRTIO_PCI_COMMON_DFSELECT, 0, 4);
	return features | guest_read(driver->guest, driver->common + VIRTIO_PCI_COMMON_DF, 4);
}

uint8_t driver_status(struct driver *driver)
{
	return (uint8_t)guest_read(driver->guest, driver->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void status_add(struct driver *driver, uint8_t bits)
{
	guest_write(driver->guest, driver->common + VIRTIO_PCI_COMMON_STATUS,
		    driver_status(driver) | bits, 1);
}

bool driver_negotiate(struct driver *driver, uint64_t features)
{
	struct guest *guest = driver->guest;

	status_add(driver, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	status_add(driver, VIRTIO_CONFIG_S_DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		guest_write(guest, driver->common + VIRTIO_PCI_COMMON_GFSELECT, half, 4);
		guest_write(guest, driver->common + VIRTIO_PCI_COMMON_GF,
			    (uint32_t)(features >> 32 * half), 4);
	}
	status_add(driver, VIRTIO_CONFIG_S_FEATURES_OK);
	return driver_status(driver) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void driver_ok(struct driver *driver)
{
	status_add(driver, VIRTIO_CONFIG_S_DRIVER_OK);
}

void driver_reset(struct driver *driver)
{
	guest_write(driver->guest, driver->common + VIRTIO_PCI_COMMON_STATUS, 0, 1);
}

void driver_msix_enable(struct driver *driver, unsigned vectors)
{
	for (unsigned i = 0; i < vectors; i++) {
		guest_write(driver->guest, driver->msix + 16 * i, 0xfee00000, 4);
		guest_write(driver->guest, driver->msix + 16 * i + 4, 0, 4);
		guest_write(driver->guest, driver->msix + 16 * i + 8, 0x40 + i, 4);
		guest_write(driver->guest, driver->msix + 16 * i + 12, 0, 4);
	}
	guest_config_write(driver->guest, driver->slot, driver->msix_capability + PCI_MSIX_FLAGS,
			   PCI_MSIX_FLAGS_ENABLE, 2);
	guest_write(driver->guest, driver->common + VIRTIO_PCI_COMMON_MSIX, 0, 2);
}

static void ring_place(struct driver *driver, struct ring *ring, unsigned index)
{
	struct guest *guest = driver->guest;
	uint64_t common = driver->common;

	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_SELECT, index, 2);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_SIZE, ring->size, 2);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_MSIX, index + 1, 2);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_DESCLO, (uint32_t)ring->desc, 4);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_DESCHI, ring->desc >> 32, 4);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_AVAILLO, (uint32_t)ring->avail, 4);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_AVAILHI, ring->avail >> 32, 4);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_USEDLO, (uint32_t)ring->used, 4);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_USEDHI, ring->used >> 32, 4);
	guest_write(guest, common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

void ring_setup(struct driver *driver, struct ring *ring, unsigned index, uint64_t base)
{
	*ring = (struct ring){.driver = driver,
			      .index = index,
			      .size = GUEST_SIZE,
			      .desc = base,
			      .avail = base + 0x1000,
			      .used = base + 0x1800};
	memset(guest_ram(driver->guest, base, 0x2000), 0, 0x2000);
	ring_place(driver, ring, index);
}

void ring_setup_size(struct driver *driver, struct ring *ring, unsigned index, uint64_t base,
		     uint16_t size)
{
	*ring = (struct ring){.driver = driver,
			      .index = index,
			      .size = size,
			      .desc = base,
			      .avail = base + 0x1000,
			      .used = base + 0x2000};
	memset(guest_ram(driver->guest, base, 0x3000), 0, 0x3000);
	ring_place(driver, ring, index);
}

void ring_desc(struct ring *ring, uint16_t at, uint64_t address, uint32_t length, uint16_t flags,
	       uint16_t next)
{
	struct vring_desc *desc = guest_ram(ring->driver->guest, ring->desc + 16ull * at, 16);

	*desc = (struct vring_desc){address, length, flags, next};
}

void ring_offer(struct ring *ring, uint16_t head)
{
	struct vring_avail *avail = guest_ram(ring->driver->guest, ring->avail, 512);

	avail->ring[ring->avail_idx % ring->size] = head;
	__atomic_store_n(&avail->idx, ++ring->avail_idx, __ATOMIC_RELEASE);
}

void ring_kick(struct ring *ring)
{
	uint16_t index = (uint16_t)ring->index;
	struct driver *driver = ring->driver;

	bus_dispatch(&driver->guest->vm.pio, driver->notify + driver->notify_stride * ring->index,
		     &index, 2, true);
}

uint16_t ring_used(struct ring *ring)
{
	struct vring_used *used = guest_ram(ring->driver->guest, ring->used, 1024);

	return __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);
}

int64_t ring_wait(struct ring *ring)
{
	struct guest *guest = ring->driver->guest;
	struct vring_used *used = guest_ram(guest, ring->used, 1024);

	for (unsigned i = 0; i < 20000; i++) {
		if (ring_used(ring) == ring->used_seen) {
			usleep(100);
			continue;
		}
		guest_loop_settle(guest);
		return used->ring[ring->used_seen++ % ring->size].len;
	}
	return -1;
}

/* Nothing supplies the missing page, so an access to it waits. userfaultfd(2). */
bool guest_stall(struct guest *guest, uint64_t gpa)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {
		.range = {.start = (uintptr_t)guest_ram(guest, gpa, 4096), .len = 4096},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	guest->stall_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (guest->stall_fd < 0)
		return false;
	madvise(guest_ram(guest, gpa, 4096), 4096, MADV_DONTNEED);
	return ioctl(guest->stall_fd, UFFDIO_API, &api) == 0 &&
	       ioctl(guest->stall_fd, UFFDIO_REGISTER, &range) == 0;
}

void guest_unstall(struct guest *guest)
{
	if (guest->stall_fd > 0)
		close(guest->stall_fd);
	guest->stall_fd = -1;
}
