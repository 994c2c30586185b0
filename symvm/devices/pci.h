/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PCI bus (segment 0, bus 0, 32 slots, function 0 only), reached by ECAM and by ports
 * 0xcf8/0xcfc. BARs are assigned before boot. The guest may move them inside the windows of
 * machine/address_map.h.
 */
#ifndef SYMVM_DEVICES_PCI_H
#define SYMVM_DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/address_map.h"
#include "machine/bus.h"
#include "util/error.h"
#include "util/serialize.h"

#define PCI_SLOTS	32u
#define PCI_BARS	6u
#define PCI_CONFIG_SIZE 256u

struct vm;
struct pci_function;

struct pci_bar {
	uint64_t size; /* power of two; 0: none */
	bool pio;      /* I/O space, else 32-bit memory space */
	bus_access access;
	void *opaque;
	uint64_t assigned;  /* where it was before boot */
	uint64_t mapped_at; /* where it is on the bus now; 0: nowhere */
	/*
	 * Called after the BAR was mapped at @base or unmapped (@base 0); may be NULL. The bus's
	 * lock is held. For ioeventfds.
	 */
	void (*moved)(void *opaque, uint64_t base);
};

struct pci_identity {
	uint16_t vendor, device;
	uint16_t subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
	uint8_t revision;
};

/*
 * Embedded by the device. Lock order: the bus's lock, then a device's own, then
 * MSI-X's. Config space is guarded by the bus's lock.
 */
struct pci_function {
	struct vm *vm;
	bool present;
	unsigned slot;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t writable[PCI_CONFIG_SIZE]; /* mask of bits that the guest may change */
	uint8_t power_on[PCI_CONFIG_SIZE]; /* config space as it was before boot */
	uint8_t capability_end;		   /* next free byte; 0: none added yet */
	uint8_t capability_last;	   /* offset of the last capability's header */
	struct pci_bar bars[PCI_BARS];
	/* Optional: called after a config write took effect. The bus's lock is held. */
	void (*config_written)(struct pci_function *function, unsigned offset, unsigned length);
	/*
	 * Optional: may compute what a read of config space returns (virtio's PCI access
	 * window). The bus's lock is held.
	 */
	void (*config_reading)(struct pci_function *function, unsigned offset, unsigned length);
};

/*
 * Creates the bus with its host bridge in @vm, and adds it to @vm's devices. The bus has its own
 * device class, which comes before all others; tests call this directly. Main thread, before other
 * PCI devices are created. -errno with words.
 */
int pci_bus_create(struct vm *vm, struct error *err);

/*
 * Fills in the identity, assigns the BARs and takes the next free slot. The memory of
 * @function is the caller's. -ENOSPC if slots or windows are full. Main thread,
 * before vCPUs run; BARs and capabilities come first.
 */
int pci_function_add(struct vm *vm, struct pci_function *function,
		     const struct pci_identity *identity, struct error *err);
/*
 * Takes the function off the bus. Does nothing if it is not on the bus. vCPUs stopped. Main thread.
 */
void pci_function_remove(struct pci_function *function);

/*
 * Declares a BAR. @size, in bytes, is rounded up to a power of two. Main thread, before
 * pci_function_add().
 */
void pci_bar_set(struct pci_function *function, unsigned index, uint64_t size, bool pio,
		 bus_access access, void *opaque, void (*moved)(void *, uint64_t));

/*
 * Appends a capability of @length bytes, header included; this fills in the id and the next
 * pointer. Returns its offset, or -ENOSPC. Main thread, before pci_function_add().
 */
int pci_capability_add(struct pci_function *function, uint8_t id, const void *data,
		       unsigned length);

/* Accesses config space as guests do: @length is 1, 2 or 4 bytes, aligned. vCPU threads. */
void pci_config_access(struct vm *vm, unsigned slot, unsigned offset, void *data, unsigned length,
		       bool is_write);

/* Back to power-on: BARs as assigned before boot, command register cleared. vCPUs stopped. */
void pci_function_reset(struct pci_function *function);

/* Saves config space. vCPUs stopped. */
int pci_function_save(struct pci_function *function, struct serialize_writer *writer);
/*
 * Takes over the values that a guest could have written; -EINVAL if they are wrong. vCPUs stopped.
 */
int pci_function_load(struct pci_function *function, struct serialize_reader *reader);

/* MSI-X: a table in a BAR, one GSI and one eventfd per vector. */
struct msix;
#define MSIX_VECTORS_MAX 64u
/*
 * Adds the MSI-X capability. The table is at @offset of BAR @bar and needs @vectors * 16 bytes; the
 * pending bits are at @pba_offset. The BAR's access callback calls msix_access(). Main thread,
 * before pci_function_add(). -EINVAL, -ENOMEM, -EMFILE.
 */
int msix_create(struct pci_function *function, unsigned vectors, unsigned bar, uint32_t offset,
		uint32_t pba_offset, struct msix **msix, struct error *err);
/* Unties and closes all vectors, and frees. NULL is allowed. vCPUs stopped. Main thread. */
void msix_destroy(struct msix *msix);
/* Back to power-on. vCPUs stopped. */
void msix_reset(struct msix *msix);
/* Handles an access to the table or the PBA; false if @offset is outside of both. vCPU threads. */
bool msix_access(struct msix *msix, uint64_t offset, void *data, unsigned length, bool is_write);
/* Call it from config_written: applies the enable bit and the function mask. vCPU threads. */
void msix_config_written(struct msix *msix, unsigned offset, unsigned length);
/* Raises @vector (or marks it pending while masked). Does nothing if MSI-X is off. Any thread. */
void msix_notify(struct msix *msix, unsigned vector);
/*
 * The eventfd (irqfd) of @vector, for I/O threads and vhost: a write raises it. Not the caller's to
 * close. -1: there is no such vector.
 */
int msix_eventfd(struct msix *msix, unsigned vector);
int msix_save(struct msix *msix, struct serialize_writer *writer);
/* Takes over the saved state, after pci_function_load(). -EINVAL. vCPUs stopped. */
int msix_load(struct msix *msix, struct serialize_reader *reader);

#endif
