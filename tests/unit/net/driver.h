/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's driver for one virtio device, without PCI: RAM, rings and a transport that
 * counts interrupts. Everything runs on the calling thread.
 */
#ifndef TESTS_UNIT_NET_DRIVER_H
#define TESTS_UNIT_NET_DRIVER_H

#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtio.h"
#include "machine/vm.h"

#define DRIVER_RAM	  (4u << 20)
#define DRIVER_QUEUE_SIZE 64u

struct driver {
	struct vm vm;
	uint8_t *ram;
	struct virtio_device *device;
	struct virtio_transport transport;
	uint32_t ram_used;
	uint16_t descriptors[4]; /* handed out, per queue */
	uint16_t used_seen[4];
	unsigned interrupts[4];
};

extern struct driver driver;
/* The next driver takes the RAM of the last one, whose pages the host has provided already. */
extern bool driver_keeps_ram;

/* Makes the device of class @option; the error's text on failure, else NULL. */
const char *driver_create(const char *option, const char *argument);
void driver_destroy(void);
/* Sets up all queues and says DRIVER_OK; @features are what the driver wants. */
void driver_start(uint64_t features);
void driver_reset(void);

/* Bytes of RAM, as guest-physical address. */
uint64_t driver_memory(uint32_t length);
/* A request with one part for the device to read, or to write; returns its head. */
uint16_t driver_add_out(unsigned queue, const void *data, uint32_t length);
uint16_t driver_add_in(unsigned queue, uint64_t gpa, uint32_t length);
/* A raw descriptor, and a raw entry of the available ring. */
void driver_descriptor(unsigned queue, uint16_t index, struct vring_desc desc);
void driver_make_available(unsigned queue, uint16_t head);
/* Handles the driver's kick. */
void driver_kick(unsigned queue);
/* Takes the next used entry; false if there is none. */
bool driver_take_used(unsigned queue, struct vring_used_elem *element);
/* Whether the device wants a kick for the entries just made available. */
bool driver_wants_kick(unsigned queue, uint16_t before);

#endif
