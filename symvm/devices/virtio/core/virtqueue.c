// SPDX-License-Identifier: BSD-2-Clause
/*
 * The split virtqueue (VIRTIO 1.2, 2.7), the device's side. The driver is hostile: each value is
 * read from guest memory once, then checked. A broken rule fails the device, and has no other
 * effect.
 */
#include "devices/virtio/core/virtqueue.h"

#include <errno.h>
#include <string.h>

#include "devices/virtio/core/transport.h"
#include "devices/virtio/core/virtio_device.h"
#include "memory/memory.h"
#include "machine/vm.h"

/* Longest request in bytes (VIRTIO 1.2, 2.7.5: a chain describes at most 2^32). */
#define CHAIN_BYTES_MAX UINT32_MAX

static uint16_t shared_load_16(const __virtio16 *shared)
{
	return __atomic_load_n((const uint16_t *)shared, __ATOMIC_ACQUIRE);
}

static void shared_store_16(__virtio16 *shared, uint16_t value)
{
	__atomic_store_n((uint16_t *)shared, value, __ATOMIC_RELEASE);
}

/* The only read of a descriptor: the driver may change it at any time. */
static struct vring_desc descriptor_load(const struct vring_desc *shared)
{
	struct vring_desc copy = {
		.addr = __atomic_load_n(&shared->addr, __ATOMIC_RELAXED),
		.len = __atomic_load_n(&shared->len, __ATOMIC_RELAXED),
		.flags = __atomic_load_n(&shared->flags, __ATOMIC_RELAXED),
		.next = __atomic_load_n(&shared->next, __ATOMIC_RELAXED),
	};

	return copy;
}

static uint16_t *used_event(struct virtio_queue *queue)
{
	return (uint16_t *)&queue->avail->ring[queue->size];
}

static uint16_t *avail_event(struct virtio_queue *queue)
{
	return (uint16_t *)(void *)&queue->used->ring[queue->size];
}

static int ring_translate(struct virtio_queue *queue, const char *what, uint64_t gpa,
			  uint64_t length, unsigned alignment, void **ring, struct error *err)
{
	if (gpa % alignment)
		return error_set(err, -EINVAL, "%s ring at 0x%llx is not aligned to %u bytes", what,
				 (unsigned long long)gpa, alignment);
	*ring = memory_translate(&queue->device->vm->memory, gpa, length);
	if (!*ring)
		return error_set(err, -EINVAL, "%s ring at 0x%llx, %llu bytes, is not in RAM", what,
				 (unsigned long long)gpa, (unsigned long long)length);
	return 0;
}

int virtio_queue_start(struct virtio_queue *queue, struct error *err)
{
	unsigned size = queue->size;
	void *desc, *avail, *used;

	if (size == 0 || (size & (size - 1)) || size > queue->size_max)
		return error_set(err, -EINVAL, "size %u is not a power of two up to %u", size,
				 queue->size_max);
	/* 2.7: alignment 16, 2, 4; both rings end with the other side's event index. */
	if (ring_translate(queue, "descriptor", queue->desc_gpa, 16ull * size, 16, &desc, err) <
		    0 ||
	    ring_translate(queue, "available", queue->avail_gpa, 6 + 2ull * size, 2, &avail, err) <
		    0 ||
	    ring_translate(queue, "used", queue->used_gpa, 6 + 8ull * size, 4, &used, err) < 0)
		return -EINVAL;
	queue->desc = desc;
	queue->avail = avail;
	queue->used = used;
	queue->avail_next = 0;
	queue->avail_seen = 0;
	queue->used_next = 0;
	queue->used_published = 0;
	queue->in_flight = 0;
	queue->event_idx = virtio_device_has_feature(queue->device, VIRTIO_RING_F_EVENT_IDX);
	queue->indirect = virtio_device_has_feature(queue->device, VIRTIO_RING_F_INDIRECT_DESC);
	return 0;
}

void virtio_queue_stop(struct virtio_queue *queue)
{
	queue->enabled = false;
	queue->size = queue->size_max;
	queue->desc_gpa = 0;
	queue->avail_gpa = 0;
	queue->used_gpa = 0;
	queue->desc = NULL;
	queue->avail = NULL;
	queue->used = NULL;
	queue->avail_next = 0;
	queue->avail_seen = 0;
	queue->used_next = 0;
	queue->used_published = 0;
	queue->in_flight = 0;
}

void virtio_queue_resume(struct virtio_queue *queue, uint16_t avail_next, uint16_t used_next)
{
	queue->avail_next = avail_next;
	queue->avail_seen = avail_next;
	queue->used_next = used_next;
	queue->used_published = used_next;
}

static bool queue_works(const struct virtio_queue *queue)
{
	return queue->avail && !atomic_load_explicit(&queue->device->failed, memory_order_relaxed);
}

/* Adds one part to @chain. */
static int chain_add(struct virtio_queue *queue, struct virtio_chain *chain,
		     const struct vring_desc *desc)
{
	unsigned count = chain->out_count + chain->in_count;
	bool in = desc->flags & VRING_DESC_F_WRITE;
	void *hva;

	if (!in && chain->in_count) {
		virtio_device_fail(queue->device, "queue %u: a part to read follows one to write",
				   queue->index);
		return -EINVAL;
	}
	if (count >= chain->iov_max) {
		virtio_device_fail(queue->device, "queue %u: a request has more than %u parts",
				   queue->index, chain->iov_max);
		return -E2BIG;
	}
	hva = memory_translate(&queue->device->vm->memory, desc->addr, desc->len);
	if (!hva) {
		virtio_device_fail(queue->device,
				   "queue %u: a part at 0x%llx, %u bytes, is empty or not in RAM",
				   queue->index, (unsigned long long)desc->addr, desc->len);
		return -EFAULT;
	}
	if (chain->out_bytes + chain->in_bytes + desc->len > CHAIN_BYTES_MAX) {
		virtio_device_fail(queue->device, "queue %u: a request is longer than 4 GiB",
				   queue->index);
		return -E2BIG;
	}
	chain->iov[count].iov_base = hva;
	chain->iov[count].iov_len = desc->len;
	if (in) {
		chain->in_count++;
		chain->in_bytes += desc->len;
	} else {
		chain->out_count++;
		chain->out_bytes += desc->len;
	}
	return 0;
}

/* The position of the walk along a chain. */
struct walk {
	const struct vring_desc *table;
	uint32_t entries;
	uint32_t index;
	bool indirect;
};

/* Continues in the indirect table that @desc names (2.7.5.3). */
static int walk_indirect(struct virtio_queue *queue, struct walk *walk,
			 const struct vring_desc *desc)
{
	if (!queue->indirect || walk->indirect || (desc->flags & VRING_DESC_F_NEXT)) {
		virtio_device_fail(queue->device, "queue %u: an indirect table %s", queue->index,
				   !queue->indirect ? "was not negotiated"
				   : walk->indirect ? "lies inside of another"
						    : "has a successor");
		return -EINVAL;
	}
	if (desc->len == 0 || desc->len % sizeof(*desc)) {
		virtio_device_fail(
			queue->device,
			"queue %u: an indirect table is %u bytes long, no multiple of 16",
			queue->index, desc->len);
		return -EINVAL;
	}
	walk->table = memory_translate(&queue->device->vm->memory, desc->addr, desc->len);
	if (!walk->table || desc->addr % sizeof(uint64_t)) {
		virtio_device_fail(
			queue->device,
			"queue %u: an indirect table at 0x%llx, %u bytes, is not in RAM or "
			"not aligned",
			queue->index, (unsigned long long)desc->addr, desc->len);
		return -EFAULT;
	}
	walk->entries = desc->len / sizeof(*desc);
	walk->index = 0;
	walk->indirect = true;
	return 0;
}

static int chain_walk(struct virtio_queue *queue, struct virtio_chain *chain)
{
	struct walk walk = {.table = queue->desc, .entries = queue->size, .index = chain->head};
	/* A chain is never longer than the queue; one more for the reference to a table. */
	unsigned steps = queue->size + 1u;
	int status;

	while (steps-- > 0) {
		struct vring_desc desc;

		if (walk.index >= walk.entries) {
			virtio_device_fail(queue->device, "queue %u: descriptor %u of %u",
					   queue->index, walk.index, walk.entries);
			return -EINVAL;
		}
		desc = descriptor_load(&walk.table[walk.index]);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			status = walk_indirect(queue, &walk, &desc);
			if (status < 0)
				return status;
			continue;
		}
		status = chain_add(queue, chain, &desc);
		if (status < 0)
			return status;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		walk.index = desc.next;
	}
	virtio_device_fail(queue->device, "queue %u: a chain loops or is longer than %u parts",
			   queue->index, queue->size);
	return -ELOOP;
}

/* Reads the driver's index. Returns whether there are new entries. -EINVAL: the index jumped. */
static int avail_look(struct virtio_queue *queue)
{
	uint16_t ahead;

	if (queue->avail_seen != queue->avail_next)
		return 1;
	queue->avail_seen = shared_load_16(&queue->avail->idx);
	ahead = (uint16_t)(queue->avail_seen - queue->avail_next);
	if (ahead > queue->size) {
		virtio_device_fail(queue->device,
				   "queue %u: the available index went %u ahead, the size is %u",
				   queue->index, ahead, queue->size);
		queue->avail_seen = queue->avail_next;
		return -EINVAL;
	}
	return ahead != 0;
}

int virtio_queue_pop(struct virtio_queue *queue, struct virtio_chain *chain)
{
	int status;

	if (!queue_works(queue))
		return 0;
	status = avail_look(queue);
	if (status <= 0)
		return status;
	if (queue->in_flight >= queue->size) {
		virtio_device_fail(queue->device, "queue %u: more than %u requests in flight",
				   queue->index, queue->size);
		return -EINVAL;
	}
	chain->out_count = 0;
	chain->in_count = 0;
	chain->out_bytes = 0;
	chain->in_bytes = 0;
	chain->head = shared_load_16(&queue->avail->ring[queue->avail_next & (queue->size - 1u)]);
	status = chain_walk(queue, chain);
	if (status < 0)
		return status;
	queue->avail_next++;
	queue->in_flight++;
	atomic_fetch_add_explicit(&queue->requests, 1, memory_order_relaxed);
	return 1;
}

void virtio_queue_unpop(struct virtio_queue *queue, unsigned count)
{
	if (count > queue->in_flight)
		count = queue->in_flight;
	queue->avail_next = (uint16_t)(queue->avail_next - count);
	queue->in_flight = (uint16_t)(queue->in_flight - count);
	atomic_fetch_sub_explicit(&queue->requests, count, memory_order_relaxed);
}

void virtio_queue_push_head(struct virtio_queue *queue, uint16_t head, uint32_t written)
{
	struct vring_used_elem *element;

	if (!queue->used || !queue->in_flight)
		return;
	element = &queue->used->ring[queue->used_next & (queue->size - 1u)];
	__atomic_store_n(&element->id, head, __ATOMIC_RELAXED);
	__atomic_store_n(&element->len, written, __ATOMIC_RELAXED);
	queue->used_next++;
	queue->in_flight--;
}

void virtio_queue_push(struct virtio_queue *queue, const struct virtio_chain *chain,
		       uint32_t written)
{
	virtio_queue_push_head(queue, chain->head, written);
}

void virtio_queue_flush(struct virtio_queue *queue)
{
	uint16_t published = queue->used_published;
	bool wanted;

	if (!queue->used || published == queue->used_next)
		return;
	shared_store_16(&queue->used->idx, queue->used_next);
	queue->used_published = queue->used_next;
	/* The index must be visible before we check whether the driver waits for it. */
	atomic_thread_fence(memory_order_seq_cst);
	if (queue->event_idx)
		wanted = vring_need_event(shared_load_16(used_event(queue)), queue->used_next,
					  published);
	else
		wanted = !(shared_load_16(&queue->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	if (!wanted)
		return;
	atomic_fetch_add_explicit(&queue->interrupts, 1, memory_order_relaxed);
	queue->device->transport->ops->interrupt(queue->device->transport, queue->index);
}

void virtio_queue_notify_disable(struct virtio_queue *queue)
{
	/* With event indices, the old one, which is already passed, keeps the driver quiet. */
	if (queue->used && !queue->event_idx)
		shared_store_16(&queue->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool virtio_queue_pending(struct virtio_queue *queue)
{
	return queue_works(queue) && avail_look(queue) > 0;
}

bool virtio_queue_notify_enable(struct virtio_queue *queue)
{
	if (!queue->used)
		return false;
	if (queue->event_idx)
		shared_store_16(avail_event(queue), queue->avail_next);
	else
		shared_store_16(&queue->used->flags, 0);
	/* Either the driver sees this, or we see its request now. */
	atomic_thread_fence(memory_order_seq_cst);
	return virtio_queue_pending(queue);
}

static size_t iov_copy(const struct iovec *iov, unsigned count, uint64_t offset, uint8_t *data,
		       size_t length, bool to_iov)
{
	size_t done = 0;

	for (unsigned i = 0; i < count && done < length; i++) {
		size_t part = iov[i].iov_len;

		if (offset >= part) {
			offset -= part;
			continue;
		}
		part -= offset;
		if (part > length - done)
			part = length - done;
		if (to_iov)
			memcpy((uint8_t *)iov[i].iov_base + offset, data + done, part);
		else
			memcpy(data + done, (uint8_t *)iov[i].iov_base + offset, part);
		done += part;
		offset = 0;
	}
	return done;
}

size_t virtio_chain_read(const struct virtio_chain *chain, uint64_t offset, void *data,
			 size_t length)
{
	return iov_copy(chain->iov, chain->out_count, offset, data, length, false);
}

size_t virtio_chain_write(const struct virtio_chain *chain, uint64_t offset, const void *data,
			  size_t length)
{
	return iov_copy(chain->iov + chain->out_count, chain->in_count, offset, (uint8_t *)data,
			length, true);
}

int virtio_queue_call_fd(struct virtio_queue *queue)
{
	struct virtio_transport *transport = queue->device->transport;

	return transport->ops->call_fd(transport, queue->index);
}
