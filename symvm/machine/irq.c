// SPDX-License-Identifier: BSD-2-Clause
#include "machine/irq.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/text_file.h"

#define IRQ_PIC_PINS 8u

/* Appends a route from @gsi to @pin of the irqchip @chip. */
static void chip_route(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
	struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];

	memset(entry, 0, sizeof(*entry));
	entry->gsi = gsi;
	entry->type = KVM_IRQ_ROUTING_IRQCHIP;
	entry->u.irqchip.irqchip = chip;
	entry->u.irqchip.pin = pin;
}

/* Pushes the whole table; the lock is held. KVM swaps it in atomically. */
static int routing_push(struct irq_router *irq)
{
	size_t entries = IRQ_PINS + 2 * IRQ_PIC_PINS + IRQ_GSI_COUNT;
	struct kvm_irq_routing *table;
	int status = 0;

	table = calloc(1, sizeof(*table) + entries * sizeof(table->entries[0]));
	if (!table)
		return -ENOMEM;
	for (unsigned pin = 0; pin < IRQ_PINS; pin++)
		chip_route(table, pin, KVM_IRQCHIP_IOAPIC, pin);
	for (unsigned pin = 0; pin < IRQ_PIC_PINS; pin++) {
		chip_route(table, pin, KVM_IRQCHIP_PIC_MASTER, pin);
		chip_route(table, pin + IRQ_PIC_PINS, KVM_IRQCHIP_PIC_SLAVE, pin);
	}
	for (unsigned gsi = IRQ_PINS; gsi < IRQ_GSI_COUNT; gsi++) {
		struct kvm_irq_routing_entry *entry;

		if (!irq->gsi[gsi].routed)
			continue;
		entry = &table->entries[table->nr++];
		entry->gsi = gsi;
		entry->type = KVM_IRQ_ROUTING_MSI;
		entry->u.msi.address_lo = (uint32_t)irq->gsi[gsi].address;
		entry->u.msi.address_hi = (uint32_t)(irq->gsi[gsi].address >> 32);
		entry->u.msi.data = irq->gsi[gsi].data;
	}
	if (ioctl(irq->vm_fd, KVM_SET_GSI_ROUTING, table) < 0)
		status = -errno;
	free(table);
	return status;
}

/* Whether KVM may use AVIC. The parameter is Y or 1 then. */
static bool avic_is_on(void)
{
	char text[4];

	return text_file_read("/sys/module/kvm_amd/parameters/avic", text, sizeof(text)) > 0 &&
	       (text[0] == 'Y' || text[0] == '1');
}

/*
 * The PIT is for guests that measure their clocks by it (no-kvmclock); no ACPI table names it. To
 * send ticks later that such a guest misses, KVM counts them, and switches AVIC off for the whole
 * VM to do so: every IPI and EOI would be an exit. So they are not sent later on hosts with AVIC.
 * On others KVM counts them, because the call waits for readers of the routing table, some
 * milliseconds of each start.
 */
static int pit_create(int vm_fd, struct error *err)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	struct kvm_reinject_control control = {.pit_reinject = 0};

	if (ioctl(vm_fd, KVM_CREATE_PIT2, &pit) < 0)
		return error_set_errno(err, -errno, "KVM_CREATE_PIT2");
	if (avic_is_on() && ioctl(vm_fd, KVM_REINJECT_CONTROL, &control) < 0)
		return error_set_errno(err, -errno, "KVM_REINJECT_CONTROL");
	return 0;
}

int irq_init(struct irq_router *irq, int vm_fd, struct error *err)
{
	int status;

	memset(irq, 0, sizeof(*irq));
	irq->vm_fd = vm_fd;
	pthread_mutex_init(&irq->lock, NULL);
	if (ioctl(vm_fd, KVM_CREATE_IRQCHIP) < 0)
		return error_set_errno(err, -errno, "KVM_CREATE_IRQCHIP");
	status = pit_create(vm_fd, err);
	if (status < 0)
		return status;
	status = routing_push(irq);
	if (status < 0)
		return error_set_errno(err, status, "KVM_SET_GSI_ROUTING");
	return 0;
}

void irq_destroy(struct irq_router *irq)
{
	pthread_mutex_destroy(&irq->lock);
}

int irq_set_line(struct irq_router *irq, unsigned gsi, bool level)
{
	struct kvm_irq_level line = {.irq = gsi, .level = level};

	if (gsi >= IRQ_PINS)
		return -EINVAL;
	return ioctl(irq->vm_fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}

int irq_msi_alloc(struct irq_router *irq)
{
	int found = -ENOSPC;

	pthread_mutex_lock(&irq->lock);
	for (int gsi = IRQ_PINS; gsi < (int)IRQ_GSI_COUNT; gsi++) {
		if (!irq->gsi[gsi].used) {
			memset(&irq->gsi[gsi], 0, sizeof(irq->gsi[gsi]));
			irq->gsi[gsi].used = true;
			found = gsi;
			break;
		}
	}
	pthread_mutex_unlock(&irq->lock);
	return found;
}

static bool msi_gsi_valid(int gsi)
{
	return gsi >= (int)IRQ_PINS && gsi < (int)IRQ_GSI_COUNT;
}

void irq_msi_free(struct irq_router *irq, int gsi)
{
	if (!msi_gsi_valid(gsi))
		return;
	irq_msi_route(irq, gsi, false, 0, 0);
	pthread_mutex_lock(&irq->lock);
	irq->gsi[gsi].used = false;
	pthread_mutex_unlock(&irq->lock);
}

int irq_msi_route(struct irq_router *irq, int gsi, bool enable, uint64_t address, uint32_t data)
{
	int status = 0;

	if (!msi_gsi_valid(gsi))
		return -EINVAL;
	pthread_mutex_lock(&irq->lock);
	if (irq->gsi[gsi].routed != enable ||
	    (enable && (irq->gsi[gsi].address != address || irq->gsi[gsi].data != data))) {
		irq->gsi[gsi].routed = enable;
		irq->gsi[gsi].address = address;
		irq->gsi[gsi].data = data;
		status = routing_push(irq);
	}
	pthread_mutex_unlock(&irq->lock);
	return status;
}

static int irq_fd_set(struct irq_router *irq, int event_fd, int gsi, uint32_t flags)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)event_fd, .gsi = (uint32_t)gsi, .flags = flags};

	if (gsi < 0 || gsi >= (int)IRQ_GSI_COUNT)
		return -EINVAL;
	return ioctl(irq->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int irq_fd_assign(struct irq_router *irq, int event_fd, int gsi)
{
	return irq_fd_set(irq, event_fd, gsi, 0);
}

int irq_fd_deassign(struct irq_router *irq, int event_fd, int gsi)
{
	return irq_fd_set(irq, event_fd, gsi, KVM_IRQFD_FLAG_DEASSIGN);
}
