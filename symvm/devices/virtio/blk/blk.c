// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-blk (VIRTIO 1.2, 5.2) on a raw image. It takes requests off the queue, hands them to the
 * engine as one batch, and answers a batch with one interrupt.
 *
 * A request that the host has no memory for now is tried again after other devices had their turn.
 * With --on-disk-full=pause, a request that the host has no room for is kept, and the VM is paused
 * until somebody resumes it.
 */
#include "devices/virtio/blk/blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine/vm.h"
#include "util/clock.h"
#include "util/container_of.h"

#define BLK_BATCH  32u
#define BLK_BUDGET 8u /* batches before other devices have their turn */
#define RETRY_US   1000u
/* How long the log stays silent about one kind of error after a line. */
#define COMPLAINT_NS (60 * NS_PER_SECOND)
static struct blk *to_blk(struct virtio_device *device)
{
	return container_of(device, struct blk, virtio);
}

static void count(_Atomic uint64_t *counter, uint64_t value)
{
	atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

static struct blk_request *request_take(struct blk *blk)
{
	struct blk_request *request = blk->free_list;

	if (request) {
		blk->free_list = request->next_free;
		return request;
	}
	if ((blk->requests_used + 1) * BLK_REQUEST_SIZE > blk->requests_size)
		return NULL;
	return (struct blk_request *)(void *)(blk->requests +
					      blk->requests_used++ * BLK_REQUEST_SIZE);
}

static void request_give(struct blk *blk, struct blk_request *request)
{
	request->in_flight = false;
	request->next_free = blk->free_list;
	blk->free_list = request;
}

static void request_count(struct blk *blk, const struct blk_request *request, bool good)
{
	switch (request->type) {
	case VIRTIO_BLK_T_IN:
		count(&blk->reads, 1);
		count(&blk->read_bytes, good ? request->written - 1 : 0);
		break;
	case VIRTIO_BLK_T_OUT:
		count(&blk->writes, 1);
		count(&blk->written_bytes, good ? request->chain.out_bytes : 0);
		break;
	case VIRTIO_BLK_T_FLUSH:
		count(&blk->flushes, 1);
		break;
	default:
		count(&blk->others, 1);
		break;
	}
	if (!good)
		count(&blk->errors, 1);
}

/* Answers the driver, which sees the answer when the queue is flushed. */
static void request_finish(struct blk *blk, struct blk_request *request, uint8_t status)
{
	bool good = status == VIRTIO_BLK_S_OK;

	request_count(blk, request, good);
	__atomic_store_n(request->status, status, __ATOMIC_RELAXED);
	virtio_queue_push(request->queue, &request->chain, good ? request->written : 1);
	request_give(blk, request);
}

static const char *kind_name(enum blk_kind kind)
{
	static const char *const names[] = {
		[BLK_READ] = "read",	     [BLK_WRITE] = "write",
		[BLK_FLUSH] = "flush",	     [BLK_DISCARD] = "discard",
		[BLK_ZERO] = "write zeroes", [BLK_ZERO_UNMAP] = "write zeroes",
	};

	return names[kind];
}

/* One line a minute for each kind of error: a guest can cause as many errors as it likes. */
static void complain(struct blk *blk, struct blk_complaints *complaints,
		     const struct blk_request *request, int status, const char *more)
{
	uint64_t now = clock_now_ns();
	char untold[48] = "";

	if (now < complaints->silent_until_ns) {
		complaints->untold++;
		return;
	}
	if (complaints->untold)
		snprintf(untold, sizeof(untold), " (and %llu more since then)",
			 (unsigned long long)complaints->untold);
	complaints->untold = 0;
	complaints->silent_until_ns = now + COMPLAINT_NS;
	log_warn(&blk->virtio.vm->log, "%s (%s): %s at sector %llu: %s%s%s",
		 blk->virtio.device.name, blk->path, kind_name(request->operation.kind),
		 (unsigned long long)request->sector, strerror(-status), more, untold);
}

/* The host has no room, or a file size limit or a quota is reached. */
static bool means_full(int status)
{
	return status == -ENOSPC || status == -EFBIG || status == -EDQUOT;
}

/* Keeps @request until the VM is resumed, and asks for a pause. */
static void request_hold(struct blk *blk, struct blk_request *request, int status)
{
	/* Each pause is logged, because somebody has to end it. */
	if (!blk->held)
		blk->full.silent_until_ns = 0;
	request->next_free = blk->held;
	blk->held = request;
	atomic_fetch_add(&blk->held_count, 1);
	complain(blk, &blk->full, request, status,
		 "; the VM is paused: make room and resume it (symvm resume)");
	vm_pause_begin(blk->virtio.vm);
}

void blk_operation_done(void *opaque, struct blk_operation *operation, int status)
{
	struct blk_request *request = container_of(operation, struct blk_request, operation);
	struct blk *blk = opaque;
	bool full = means_full(status);

	if (full && blk->virtio.vm->config.pause_on_disk_full && atomic_load(&blk->virtio.active)) {
		request_hold(blk, request, status);
		return;
	}
	if (status < 0)
		complain(blk, full ? &blk->full : &blk->other, request, status, "");
	request_finish(blk, request, status < 0 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

/* Publishes all answers. */
static void blk_flush_queues(struct blk *blk)
{
	for (unsigned i = 0; i < blk->virtio.queue_count; i++)
		virtio_queue_flush(&blk->virtio.queues[i]);
}

static void request_start(struct blk *blk, struct blk_request *request)
{
	int status = blk_request_parse(request, &blk->image, blk->discard, blk->id);

	if (status == BLK_STATUS_PENDING) {
		request->in_flight = true;
		blk_engine_add(blk->engine, &request->operation);
	} else if (status < 0) {
		virtio_device_fail(&blk->virtio, "queue %u: a request of %llu + %llu bytes",
				   request->queue->index,
				   (unsigned long long)request->chain.out_bytes,
				   (unsigned long long)request->chain.in_bytes);
		request_give(blk, request);
	} else {
		request_finish(blk, request, (uint8_t)status);
	}
}

/* Takes a batch of requests that the driver made available. Returns whether there were any. */
static bool queue_take(struct blk *blk, struct virtio_queue *queue)
{
	bool any = false;

	/*
	 * Not all at once: the driver can then continue with the first ones while we do the next.
	 */
	for (unsigned i = 0; i < BLK_BATCH; i++) {
		struct blk_request *request = request_take(blk);

		if (!request) {
			/*
			 * As many as all queues have entries. Only a driver that reuses the entries
			 * of unanswered requests makes more available.
			 */
			if (virtio_queue_pending(queue))
				virtio_device_fail(&blk->virtio, "more than %u requests in flight",
						   blk->requests_used);
			return any;
		}
		request->queue = queue;
		request->chain.iov = request->iov;
		request->chain.iov_max = BLK_QUEUE_SIZE;
		if (virtio_queue_pop(queue, &request->chain) <= 0) {
			request_give(blk, request);
			return any;
		}
		any = true;
		request_start(blk, request);
	}
	return any;
}

static void engine_retry(void *opaque);

/* Tries requests again that the host had no memory for, after other devices had their turn. */
static void blk_submit(struct blk *blk)
{
	bool all = blk_engine_submit(blk->engine);

	blk_flush_queues(blk);
	if (!all && !blk->retry_posted)
		blk->retry_posted = event_loop_post(blk->virtio.vm->io_loop, engine_retry, blk) ==
				    0;
}

static void engine_retry(void *opaque)
{
	struct blk *blk = opaque;

	blk->retry_posted = false;
	usleep(RETRY_US);
	blk_submit(blk);
}

static void blk_notified(struct virtio_device *device, struct virtio_queue *queue)
{
	struct blk *blk = to_blk(device);
	unsigned budget = BLK_BUDGET;

	do {
		virtio_queue_notify_disable(queue);
		while (budget && queue_take(blk, queue)) {
			blk_submit(blk);
			budget--;
		}
		if (!budget) {
			virtio_queue_again(queue);
			return;
		}
	} while (virtio_queue_notify_enable(queue));
}

void blk_engine_ready(void *opaque, uint32_t events)
{
	struct blk *blk = opaque;

	blk_submit(blk);
	virtio_device_idle(&blk->virtio);
}

static struct blk_request *held_take(struct blk *blk)
{
	struct blk_request *request = blk->held;

	if (request) {
		blk->held = request->next_free;
		atomic_fetch_sub(&blk->held_count, 1);
	}
	return request;
}

/* The VM runs again: requests that the host had no room for are tried once more. */
static void held_retry(void *opaque)
{
	struct blk *blk = opaque;
	struct blk_request *all = blk->held;

	blk->held = NULL;
	atomic_store(&blk->held_count, 0);
	while (all) {
		struct blk_request *request = all;

		all = request->next_free;
		blk_engine_add(blk->engine, &request->operation);
	}
	blk_submit(blk);
}

static void blk_resumed(struct virtio_device *device)
{
	struct blk *blk = to_blk(device);

	if (atomic_load(&blk->held_count) &&
	    event_loop_post(device->vm->io_loop, held_retry, blk) < 0)
		log_error(&device->vm->log,
			  "%s: out of memory; its requests wait for the next resume",
			  device->device.name);
}

static void blk_quiesce(struct virtio_device *device)
{
	struct blk *blk = to_blk(device);
	struct blk_request *request;

	/* A save must not give them up: the guest would take that for an error of the disk. */
	while (!atomic_load(&device->quiesced_for_save) && (request = held_take(blk)))
		request_finish(blk, request, VIRTIO_BLK_S_IOERR);
	blk_submit(blk);
}

static bool blk_busy(struct virtio_device *device)
{
	struct blk *blk = to_blk(device);

	return blk_engine_busy(blk->engine) || blk->held;
}

static void blk_wait(struct virtio_device *device, unsigned ms)
{
	struct blk *blk = to_blk(device);

	blk_engine_wait(blk->engine, ms);
	blk_flush_queues(blk);
}

static int blk_start(struct virtio_device *device, struct error *err)
{
	return blk_engine_start(to_blk(device)->engine, device->vm->jail, err);
}

static bool lies_in(const void *part, size_t size, const uint8_t *memory, uint64_t length)
{
	const uint8_t *start = part;

	return start < memory + length && start + size > memory;
}

static bool request_lies_in(const struct blk_request *request, const void *memory, uint64_t length)
{
	const struct virtio_chain *chain = &request->chain;

	for (unsigned i = 0; i < chain->out_count + chain->in_count; i++)
		if (lies_in(chain->iov[i].iov_base, chain->iov[i].iov_len, memory, length))
			return true;
	return lies_in(request->status, 1, memory, length);
}

static bool blk_holds(struct virtio_device *device, const void *memory, uint64_t length)
{
	struct blk *blk = to_blk(device);

	for (unsigned i = 0; i < blk->requests_used; i++) {
		const void *request = blk->requests + i * BLK_REQUEST_SIZE;

		if (((const struct blk_request *)request)->in_flight &&
		    request_lies_in(request, memory, length))
			return true;
	}
	return false;
}

void blk_free(struct blk *blk)
{
	for (unsigned i = 0; i < BLK_ENGINE_FDS; i++)
		event_source_remove(blk->engine_sources[i]);
	if (blk->engine && blk_engine_busy(blk->engine)) {
		/* The host's disk does not answer. The kernel may still use all of it. */
		log_warn(&blk->virtio.vm->log, "%s: the host did not complete all requests",
			 blk->virtio.device.name);
		return;
	}
	blk_engine_destroy(blk->engine);
	blk_image_close(&blk->image);
	if (blk->requests)
		munmap(blk->requests, blk->requests_size);
	free(blk->path);
	free(blk);
}

static void blk_destroy(struct virtio_device *device)
{
	blk_free(to_blk(device));
}

static void blk_describe(struct virtio_device *device, json_t *object)
{
	struct blk *blk = to_blk(device);
	const struct {
		const char *name;
		_Atomic uint64_t *value;
	} counters[] = {
		{"reads", &blk->reads},	    {"read_bytes", &blk->read_bytes},
		{"writes", &blk->writes},   {"written_bytes", &blk->written_bytes},
		{"flushes", &blk->flushes}, {"other_requests", &blk->others},
		{"errors", &blk->errors},
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(object, counters[i].name,
				    json_integer((json_int_t)atomic_load(counters[i].value)));
	json_object_set_new(object, "sectors", json_integer((json_int_t)blk->image.sectors));
	json_object_set_new(object, "readonly", json_boolean(blk->image.readonly));
	json_object_set_new(object, "direct", json_boolean(blk->image.access.direct));
	json_object_set_new(object, "block_size", json_integer(blk->image.block_size));
	json_object_set_new(object, "discard", json_boolean(blk->discard && blk->image.can_punch));
	json_object_set_new(object, "held_requests",
			    json_integer((json_int_t)atomic_load(&blk->held_count)));
}

const struct virtio_ops blk_ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x018000,
	.version = 1,
	.start = blk_start,
	.notified = blk_notified,
	.quiesce = blk_quiesce,
	.busy = blk_busy,
	.wait = blk_wait,
	.holds = blk_holds,
	.resumed = blk_resumed,
	.destroy = blk_destroy,
	.describe = blk_describe,
};
