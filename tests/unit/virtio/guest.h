/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine without KVM for virtio devices: RAM, buses, a PCI bus, recorded
 * interrupts; and the driver's side of virtio. For unit tests and fuzzing.
 */
#ifndef TESTS_UNIT_VIRTIO_GUEST_H
#define TESTS_UNIT_VIRTIO_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/pci.h"
#include "devices/virtio/core/virtio.h"
#include "machine/vm.h"

#define GUEST_RAM_SIZE	0x200000ull    /* at 0 */
#define GUEST_HIGH_BASE 0x100000000ull /* more RAM */
#define GUEST_HIGH_SIZE 0x10000ull
#define GUEST_WINDOW	0x200000000ull /* guest-physical, but not RAM; as long as the high RAM */
#define GUEST_SIZE	64u	       /* entries of a ring laid out by ring_setup() */

struct guest {
	struct vm vm;
	pthread_t loop_thread;
	bool loop_runs;
	struct {
		bool used, routed;
		uint64_t address;
		uint32_t data;
		int event_fd; /* -1: not tied */
	} gsi[256];
	unsigned log_lines; /* counted by guest_log_lines() */
	int log_fd;
	int stall_fd;
};

struct guest *guest_create(void);
void guest_destroy(struct guest *guest);
/* Runs the I/O loop on a thread of its own. */
void guest_loop_start(struct guest *guest);
void guest_loop_stop(struct guest *guest);
/* Waits until the loop is done with what it does now: an interrupt follows its used index. */
void guest_loop_settle(struct guest *guest);
/* Lines logged so far. */
unsigned guest_log_lines(struct guest *guest);
/* Makes a device by its option (NULL: the one without an option), as the command line does. */
int guest_device_create(struct guest *guest, const char *option, const char *argument,
			struct error *err);
/* How often the MSI with @data was signalled since the last call; -1: no tied route has it. */
int guest_interrupts(struct guest *guest, uint32_t data);

/*
 * Makes each reader or writer of the page at @gpa wait, from now to guest_unstall(), like a disk
 * that does not continue its request. The page's contents are lost. False if the host does not
 * allow it (needs root or vm.unprivileged_userfaultfd).
 */
bool guest_stall(struct guest *guest, uint64_t gpa);
void guest_unstall(struct guest *guest);
void *guest_ram(struct guest *guest, uint64_t gpa, uint64_t length);
uint32_t guest_config_read(struct guest *guest, unsigned slot, unsigned offset, unsigned length);
void guest_config_write(struct guest *guest, unsigned slot, unsigned offset, uint32_t value,
			unsigned length);
uint64_t guest_read(struct guest *guest, uint64_t address, unsigned length);
void guest_write(struct guest *guest, uint64_t address, uint64_t value, unsigned length);

/* The driver of one virtio function. */
struct driver {
	struct guest *guest;
	unsigned slot;
	uint64_t common, isr, config, msix; /* addresses in memory space */
	uint16_t notify;		    /* port of queue 0 */
	unsigned notify_stride;
	unsigned msix_capability, window; /* offsets in config space */
};

struct ring {
	struct driver *driver;
	unsigned index;
	uint16_t size;
	uint64_t desc, avail, used; /* guest-physical */
	uint16_t avail_idx, used_seen;
};

/* Finds the capabilities of @slot and turns decoding on; false if there is no device. */
bool driver_probe(struct guest *guest, unsigned slot, struct driver *driver);
/* ACKNOWLEDGE to FEATURES_OK; returns whether the device took the features. */
bool driver_negotiate(struct driver *driver, uint64_t features);
uint64_t driver_features(struct driver *driver);
uint8_t driver_status(struct driver *driver);
void driver_ok(struct driver *driver);
void driver_reset(struct driver *driver);
/* Enables MSI-X with vector i = data 0x40 + i, unmasked; config has vector 0. */
void driver_msix_enable(struct driver *driver, unsigned vectors);
/* Lays out rings at @base (8 KiB), tells the device, vector @index + 1, and enables the queue. */
void ring_setup(struct driver *driver, struct ring *ring, unsigned index, uint64_t base);
/* The same with @size entries, a power of two up to 256; takes 12 KiB. */
void ring_setup_size(struct driver *driver, struct ring *ring, unsigned index, uint64_t base,
		     uint16_t size);
void ring_desc(struct ring *ring, uint16_t at, uint64_t address, uint32_t length, uint16_t flags,
	       uint16_t next);
/* Makes @head available. */
void ring_offer(struct ring *ring, uint16_t head);
void ring_kick(struct ring *ring);
/* The device's used index. */
uint16_t ring_used(struct ring *ring);
/* Waits until the device answered one more; its written length, or -1 after two seconds. */
int64_t ring_wait(struct ring *ring);

/* The virtio device that was created last. */
struct virtio_device *guest_virtio(struct guest *guest);

#endif
