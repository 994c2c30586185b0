/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small virtio-pci driver (VIRTIO 1.2, 2.7 and 4.1): modern, split queues, polling or one MSI-X
 * vector per queue. It is for tests, so its user can break the rules, too.
 */
#ifndef GUEST_BARE_VIRTIO_H
#define GUEST_BARE_VIRTIO_H

#include "pci.h"

#define VIRTIO_NET     1
#define VIRTIO_BLOCK   2
#define VIRTIO_CONSOLE 3
#define VIRTIO_RNG     4
#define VIRTIO_VSOCK   19

/* Registers of the common configuration. */
#define COMMON_DEVICE_SELECT  0x00
#define COMMON_DEVICE_FEATURE 0x04
#define COMMON_DRIVER_SELECT  0x08
#define COMMON_DRIVER_FEATURE 0x0c
#define COMMON_CONFIG_VECTOR  0x10
#define COMMON_QUEUES	      0x12
#define COMMON_STATUS	      0x14
#define COMMON_QUEUE_SELECT   0x16
#define COMMON_QUEUE_SIZE     0x18
#define COMMON_QUEUE_VECTOR   0x1a
#define COMMON_QUEUE_ENABLE   0x1c
#define COMMON_QUEUE_NOTIFY   0x1e
#define COMMON_QUEUE_DESC     0x20
#define COMMON_QUEUE_AVAIL    0x28
#define COMMON_QUEUE_USED     0x30
#define COMMON_SIZE	      0x40

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER	   2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 0x40

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

#define FEATURE_VERSION_1 (1ull << 32)
#define FEATURE_INDIRECT  (1ull << 28)
#define FEATURE_EVENT_IDX (1ull << 29)

#define VIRTIO_QUEUES 8
#define QUEUE_ENTRIES 256 /* at most */

struct descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t flags, next;
};
struct available {
	uint16_t flags, index, ring[QUEUE_ENTRIES + 1];
};
struct used {
	uint16_t flags, index;
	struct {
		uint32_t id, length;
	} ring[QUEUE_ENTRIES];
	uint16_t event;
};

/* The memory of one queue, zeroed by virtio_queue_start(). */
struct queue_memory {
	struct descriptor table[QUEUE_ENTRIES];
	struct available available;
	struct used used __attribute__((aligned(16)));
} __attribute__((aligned(4096)));

struct virtio_queue {
	volatile struct queue_memory *memory;
	uint16_t size, seen; /* seen: used entries that were taken */
	uint16_t port;
};

struct virtio {
	unsigned slot, type, queue_count;
	uint64_t common, isr, config;	 /* 0: no such structure */
	uint64_t notify, table, pending; /* MSI-X table and pending bits */
	unsigned msix;			 /* offset of the capability */
	uint64_t features;
	struct virtio_queue queues[VIRTIO_QUEUES];
};

/* Finds the @nth device of @type and its structures. Changes nothing in it. */
bool virtio_find(struct virtio *device, unsigned type, unsigned nth);
/* Resets it, takes those of @features that it offers, starts all queues, sets DRIVER_OK. */
bool virtio_start(struct virtio *device, uint64_t features);
void virtio_reset(struct virtio *device);
/* Vector @index of MSI-X goes to @vector of this CPU; enables MSI-X. */
void virtio_msix_set(struct virtio *device, unsigned index, uint8_t vector, bool masked);

struct part {
	const volatile void *data;
	uint32_t length;
	bool write; /* by the device */
};
/* Makes one request of @count parts available from descriptor 0 on, and kicks. */
void virtio_queue_add(struct virtio *device, unsigned queue, const struct part *parts,
		      unsigned count);
void virtio_queue_kick(struct virtio *device, unsigned queue);
/* Waits for the answer to the request: the bytes written, or -1 after two seconds. */
int64_t virtio_queue_wait(struct virtio *device, unsigned queue);
int64_t virtio_request(struct virtio *device, unsigned queue, const struct part *parts,
		       unsigned count);

#endif
