/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: the in-kernel irqchip, its GSI routing table and irqfds. GSIs 0 to 23 are the pins of
 * the IOAPIC. Higher GSIs are allocated for MSI routes.
 */
#ifndef SYMVM_MACHINE_IRQ_H
#define SYMVM_MACHINE_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

#define IRQ_PINS      24u
#define IRQ_GSI_COUNT 1024u

#define IRQ_GSI_SERIAL 4u
#define IRQ_GSI_ACPI   9u /* generic event device */
#define IRQ_GSI_RTC    8u

struct irq_router {
	int vm_fd;
	pthread_mutex_t lock;
	struct {
		bool used;
		bool routed;
		uint64_t address;
		uint32_t data;
	} gsi[IRQ_GSI_COUNT];
};

/*
 * Creates irqchip and routing in @vm_fd, which is not owned. Main thread, before the first vCPU.
 * -errno with words.
 */
int irq_init(struct irq_router *irq, int vm_fd, struct error *err);
/* Frees the router. KVM's irqchip ends with the VM. Main thread. */
void irq_destroy(struct irq_router *irq);

/* Sets an IOAPIC pin (level). 0 or -errno. Any thread. */
int irq_set_line(struct irq_router *irq, unsigned gsi, bool level);

/* Allocates a GSI for an MSI route, and returns it; -ENOSPC. Any thread. */
int irq_msi_alloc(struct irq_router *irq);
/* Gives back @gsi and removes its route. Does nothing if it is not one of MSI's. Any thread. */
void irq_msi_free(struct irq_router *irq, int gsi);
/*
 * Points @gsi at the MSI @address/@data (@enable false: nowhere), and pushes the table to KVM if
 * that changes it. 0 or -errno. Any thread.
 */
int irq_msi_route(struct irq_router *irq, int gsi, bool enable, uint64_t address, uint32_t data);

/* Ties an eventfd (not owned) to a GSI (edge), or unties it. 0 or -errno. Any thread. */
int irq_fd_assign(struct irq_router *irq, int event_fd, int gsi);
int irq_fd_deassign(struct irq_router *irq, int event_fd, int gsi);

#endif
