// SPDX-License-Identifier: BSD-2-Clause
/*
 * Queues: set up in RAM or anywhere else, with chains that are right, loop, leave RAM,
 * nest, or change while the device reads them (another CPU runs the same code).
 */
#include "hostile.h"

#define BURST 8
#define CHAIN 8 /* descriptors; chains of a gentle burst do not overlap */

/* Our knowledge of each queue, which may be wrong. The CPUs share it without a lock. */
static struct {
	uint64_t memory; /* struct queue_memory, in the arena; 0: not set up */
	uint16_t size;
} known[TARGETS_MAX][VIRTIO_QUEUES];

static uint64_t ring_address(struct hostile *hostile, uint64_t right)
{
	return random_one_in(hostile, 32) ? hostile_address(hostile) : right;
}

static void set_up_queue(struct hostile *hostile, unsigned index, unsigned queue)
{
	uint64_t common = targets[index].virtio.common;
	uint64_t memory = arena_address(hostile, sizeof(struct queue_memory), 4096);
	struct queue_memory *at = (struct queue_memory *)memory;
	uint16_t size;

	write16(common + COMMON_QUEUE_SELECT, (uint16_t)queue);
	size = read16(common + COMMON_QUEUE_SIZE);
	if (size == 0 || size > QUEUE_ENTRIES)
		size = QUEUE_ENTRIES;
	if (random_one_in(hostile, 3))
		size = (uint16_t)(1u << random_below(hostile, 9));
	if (random_one_in(hostile, 32))
		size = (uint16_t)hostile_value(hostile);
	memset(at, 0, sizeof(*at));
	write16(common + COMMON_QUEUE_SIZE, size);
	write16(common + COMMON_QUEUE_VECTOR, (uint16_t)random_below(hostile, 4));
	write64(common + COMMON_QUEUE_DESC, ring_address(hostile, (uint64_t)at->table));
	write64(common + COMMON_QUEUE_AVAIL, ring_address(hostile, (uint64_t)&at->available));
	write64(common + COMMON_QUEUE_USED, ring_address(hostile, (uint64_t)&at->used));
	write16(common + COMMON_QUEUE_ENABLE, !random_one_in(hostile, 16));
	known[index][queue].memory = memory;
	known[index][queue].size = size && size <= QUEUE_ENTRIES ? size : QUEUE_ENTRIES;
}

static void set_up(struct hostile *hostile, unsigned index)
{
	struct virtio *virtio = &targets[index].virtio;
	uint64_t offered;

	target_restore(&targets[index]);
	write8(virtio->common + COMMON_STATUS, 0);
	write8(virtio->common + COMMON_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	write32(virtio->common + COMMON_DEVICE_SELECT, 0);
	offered = read32(virtio->common + COMMON_DEVICE_FEATURE);
	if (random_one_in(hostile, 2))
		offered &= random_next(hostile);
	if (random_one_in(hostile, 32))
		offered = hostile_value(hostile);
	write32(virtio->common + COMMON_DRIVER_SELECT, 0);
	write32(virtio->common + COMMON_DRIVER_FEATURE, (uint32_t)offered);
	write32(virtio->common + COMMON_DRIVER_SELECT, 1);
	write32(virtio->common + COMMON_DRIVER_FEATURE, 1);
	write8(virtio->common + COMMON_STATUS, 11);
	for (unsigned i = 0; i < virtio->queue_count && i < VIRTIO_QUEUES; i++)
		set_up_queue(hostile, index, i);
	write16(pci_ecam(virtio->slot, virtio->msix + 2),
		(uint16_t)(random_below(hostile, 4) << 14));
	write8(virtio->common + COMMON_STATUS, 15);
}

static void fill_descriptor(struct hostile *hostile, unsigned type, struct descriptor *descriptor,
			    bool right)
{
	uint64_t address = arena_address(hostile, 8192, 16);
	uint32_t length = (uint32_t)random_below(hostile, 1600) + 1;

	if (!right) {
		address = hostile_address(hostile);
		length = hostile_length(hostile, address);
	}
	request_fill(hostile, type, address, length < 8192 ? length : 8192);
	descriptor->address = address;
	descriptor->length = length;
}

/* How many of @count parts a right driver of @type gives the device to read. */
static unsigned readable_parts(struct hostile *hostile, unsigned type, unsigned queue,
			       unsigned count)
{
	switch (type) {
	case VIRTIO_BLOCK: /* reads have a header only, writes all but the status */
		return random_one_in(hostile, 2) ? 1 : count - 1;
	case VIRTIO_NET:
	case VIRTIO_CONSOLE:
		return queue % 2 ? count : 0;
	case VIRTIO_RNG:
		return 0;
	default:
		return (unsigned)random_below(hostile, count + 1);
	}
}

/* virtio-blk's header of 16 bytes, data of whole sectors, status of one byte. */
static uint32_t block_length(unsigned i, unsigned count, uint32_t length)
{
	if (i == 0)
		return 16;
	return i + 1 == count ? 1 : (length % 4 + 1) * 512;
}

/* As a driver makes it: parts to read, then parts to write. @hurt: with one thing wrong. */
static void fill_chain(struct hostile *hostile, unsigned type, unsigned queue,
		       struct descriptor *table, unsigned entries, unsigned head, bool hurt)
{
	unsigned count = (unsigned)random_below(hostile, CHAIN - 2) + 2;
	unsigned readable = readable_parts(hostile, type, queue, count);
	unsigned wrong = hurt ? (unsigned)random_below(hostile, count) : count;
	unsigned at = head % entries;

	if (random_one_in(hostile, 16))
		readable = (unsigned)random_below(hostile, count + 1);
	for (unsigned i = 0; i < count; i++) {
		struct descriptor *descriptor = &table[at];

		fill_descriptor(hostile, type, descriptor, i != wrong);
		if (type == VIRTIO_BLOCK && i != wrong)
			descriptor->length = block_length(i, count, descriptor->length);
		descriptor->flags = (uint16_t)((i >= readable ? DESC_WRITE : 0) |
					       (i + 1 < count ? DESC_NEXT : 0));
		at = (at + 1) % entries;
		descriptor->next = (uint16_t)at;
		if (i == wrong && random_one_in(hostile, 2)) {
			descriptor->next = (uint16_t)random_next(hostile);
			descriptor->flags = (uint16_t)random_below(hostile, 8);
		}
	}
}

/* An indirect table in the arena, which sometimes refers to itself. */
static void fill_indirect(struct hostile *hostile, unsigned type, unsigned queue,
			  struct descriptor *descriptor)
{
	uint64_t table = arena_address(hostile, 65536, random_one_in(hostile, 16) ? 1 : 16);
	unsigned entries = (unsigned)random_below(hostile, 64) +
			   (random_one_in(hostile, 8) ? 1 : CHAIN);

	fill_chain(hostile, type, queue, (struct descriptor *)table, entries, 0,
		   random_one_in(hostile, 8));
	if (random_one_in(hostile, 16)) {
		struct descriptor *inner = (struct descriptor *)table;

		inner->address = table;
		inner->length = 16 * entries;
		inner->flags = DESC_INDIRECT | (random_one_in(hostile, 2) ? DESC_NEXT : 0);
	}
	descriptor->address = random_one_in(hostile, 16) ? hostile_address(hostile) : table;
	descriptor->length = random_one_in(hostile, 16) ? hostile_length(hostile, table)
							: 16 * entries;
	descriptor->flags = (uint16_t)(DESC_INDIRECT |
				       (random_one_in(hostile, 32) ? random_below(hostile, 4) : 0));
	descriptor->next = (uint16_t)random_next(hostile);
}

/*
 * Requests in the available ring. Half of the bursts are gentle: only their contents are wrong.
 * Otherwise the device would fail at the first request, and the code behind that stay untested.
 */
static void make_available(struct hostile *hostile, unsigned index, unsigned queue, bool gentle)
{
	struct queue_memory *memory = (struct queue_memory *)known[index][queue].memory;
	unsigned type = targets[index].virtio.type, size = known[index][queue].size;
	unsigned limit = size / CHAIN < BURST ? size / CHAIN : BURST;
	unsigned count = (unsigned)random_below(hostile, limit ? limit : 1) + 1;
	uint16_t next = memory->available.index;

	for (unsigned i = 0; i < count; i++) {
		bool hurt = !gentle && random_one_in(hostile, 4);
		unsigned head = i * CHAIN % size;

		if (hurt)
			head = (unsigned)random_below(hostile, size);
		if (!gentle && random_one_in(hostile, 4))
			fill_indirect(hostile, type, queue, &memory->table[head]);
		else
			fill_chain(hostile, type, queue, memory->table, size, head, hurt);
		memory->available.ring[(uint16_t)(next + i) % size] =
			(uint16_t)(hurt && random_one_in(hostile, 16) ? random_next(hostile)
								      : head);
	}
	memory->available.flags = (uint16_t)random_below(hostile, 2);
	memory->available.ring[size] = (uint16_t)random_next(hostile);
	barrier();
	if (!gentle && random_one_in(hostile, 32))
		memory->available.index = (uint16_t)random_next(hostile);
	else
		memory->available.index = (uint16_t)(next + count);
}

/* Changes anything in the ring while the device reads it. */
static void scribble(struct hostile *hostile, unsigned index, unsigned queue)
{
	struct queue_memory *memory = (struct queue_memory *)known[index][queue].memory;

	for (unsigned i = 0; i < 64; i++) {
		struct descriptor *descriptor =
			&memory->table[random_below(hostile, known[index][queue].size)];

		switch (random_below(hostile, 4)) {
		case 0:
			descriptor->address = hostile_address(hostile);
			break;
		case 1:
			descriptor->length = hostile_length(hostile, descriptor->address);
			break;
		case 2:
			descriptor->flags = (uint16_t)random_below(hostile, 8);
			break;
		default:
			descriptor->next = (uint16_t)random_below(hostile, QUEUE_ENTRIES + 1);
		}
	}
}

void attack_queues(struct hostile *hostile)
{
	bool gentle = random_one_in(hostile, 2);
	unsigned index, queue;

	if (!target_count)
		return;
	index = (unsigned)random_below(hostile, target_count);
	queue = (unsigned)random_below(hostile, targets[index].virtio.queue_count);
	queue %= VIRTIO_QUEUES;
	if (!known[index][queue].memory || random_one_in(hostile, 12) ||
	    read8(targets[index].virtio.common + COMMON_STATUS) != 15)
		set_up(hostile, index);
	for (unsigned i = 0; i < 4; i++) {
		make_available(hostile, index, queue, gentle);
		if (!gentle && random_one_in(hostile, 4))
			scribble(hostile, index, queue);
		out16((uint16_t)(targets[index].virtio.notify + 4 * queue), (uint16_t)queue);
		if (!gentle && random_one_in(hostile, 4))
			scribble(hostile, index, queue);
	}
}
