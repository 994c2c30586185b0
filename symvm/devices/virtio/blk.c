// SPDX-License-Identifier: BSD-2-Clause
/*
 * virtio-blk (VIRTIO 1.2, 5.2) on a raw image: takes requests off the queue,
 * hands them to the engine as one batch, and answers a batch with one interrupt.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "devices/virtio/blk_engine.h"
#include "devices/virtio/blk_image.h"
#include "devices/virtio/blk_request.h"
#include "devices/virtio/virtio.h"
#include "machine/vm.h"
#include "util/option.h"

#define BLK_QUEUE_SIZE 256u
#define BLK_BATCH      32u
#define BLK_QUEUES_MAX 16u
/* Header and status go with the data. */
#define BLK_SEGMENTS	 (BLK_QUEUE_SIZE - 2)
#define BLK_REQUEST_SIZE (sizeof(struct blk_request) + BLK_QUEUE_SIZE * sizeof(struct iovec))

struct blk {
	struct virtio_device virtio;
	struct blk_image image;
	struct blk_engine *engine;
	struct event_source *engine_source;
	bool discard;
	char id[VIRTIO_BLK_ID_BYTES];

	/* Requests live in one mapping, whose pages come when they are first needed. */
	uint8_t *requests;
	size_t requests_size;
	unsigned requests_used; /* of these some are in the free list */
	struct blk_request *free_list;
	unsigned in_flight;

	_Atomic uint64_t reads, writes, flushes, others;
	_Atomic uint64_t read_bytes, written_bytes, errors;
};

static struct blk *to_blk(struct virtio_device *device)
{
	return (struct blk *)device;
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

/* Answers the driver; it learns of it when the queue is flushed. */
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
		[BLK_READ] = "read",	 [BLK_WRITE] = "write",	      [BLK_FLUSH] = "flush",
		[BLK_PUNCH] = "discard", [BLK_ZERO] = "write zeroes",
	};

	return names[kind];
}

static void operation_done(void *opaque, struct blk_operation *operation, int status)
{
	struct blk_request *request = (struct blk_request *)operation;
	struct blk *blk = opaque;

	blk->in_flight--;
	if (status < 0)
		log_limited(&blk->virtio.vm->log, LOG_LEVEL_WARN, "%s: %s at sector %llu: %s",
			    blk->virtio.device.name, kind_name(operation->kind),
			    (unsigned long long)request->sector, strerror(-status));
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
		blk->in_flight++;
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

/* Takes a batch of what the driver made available; whether there was something. */
static bool queue_take(struct blk *blk, struct virtio_queue *queue)
{
	bool any = false;

	/* Not all at once: the driver shall go on with the first while we do the next. */
	for (unsigned i = 0; i < BLK_BATCH; i++) {
		struct blk_request *request = request_take(blk);

		if (!request)
			return any;
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

static void blk_notified(struct virtio_device *device, struct virtio_queue *queue)
{
	struct blk *blk = to_blk(device);

	do {
		virtio_queue_notify_disable(queue);
		while (queue_take(blk, queue)) {
			blk_engine_submit(blk->engine);
			blk_flush_queues(blk);
		}
	} while (virtio_queue_notify_enable(queue));
}

static void engine_ready(void *opaque, uint32_t events)
{
	struct blk *blk = opaque;

	blk_engine_reap(blk->engine);
	blk_flush_queues(blk);
}

static void blk_quiesce(struct virtio_device *device)
{
	struct blk *blk = to_blk(device);

	blk_engine_drain(blk->engine);
	blk_flush_queues(blk);
}

static void blk_free(struct blk *blk)
{
	event_source_remove(blk->engine_source);
	blk_engine_destroy(blk->engine);
	blk_image_close(&blk->image);
	if (blk->requests)
		munmap(blk->requests, blk->requests_size);
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
}

static const struct virtio_ops blk_ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x018000,
	.version = 1,
	.notified = blk_notified,
	.quiesce = blk_quiesce,
	.destroy = blk_destroy,
	.describe = blk_describe,
};

static struct virtio_blk_config blk_config(const struct blk *blk, unsigned queues)
{
	uint32_t alignment = blk->image.block_size / BLK_SECTOR;
	struct virtio_blk_config config = {
		.capacity = htole64(blk->image.sectors),
		.seg_max = htole32(BLK_SEGMENTS),
		.blk_size = htole32(blk->image.block_size),
		.num_queues = htole16((uint16_t)queues),
	};

	if (blk->discard) {
		config.max_discard_sectors = htole32(BLK_DISCARD_SECTORS_MAX);
		config.max_discard_seg = htole32(1);
		/* Holes smaller than a page free nothing. */
		config.discard_sector_alignment = htole32(alignment > 8 ? alignment : 8);
		config.max_write_zeroes_sectors = htole32(BLK_ZEROES_SECTORS_MAX);
		config.max_write_zeroes_seg = htole32(1);
		config.write_zeroes_may_unmap = 1;
	}
	return config;
}

static uint64_t blk_features(const struct blk *blk, unsigned queues)
{
	uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			    1ull << VIRTIO_BLK_F_FLUSH;

	if (blk->image.readonly)
		features |= 1ull << VIRTIO_BLK_F_RO;
	if (blk->discard)
		features |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	if (queues > 1)
		features |= 1ull << VIRTIO_BLK_F_MQ;
	return features;
}

/* The engine and the memory for requests. */
static int blk_prepare(struct blk *blk, struct vm *vm, unsigned depth, struct error *err)
{
	int status;

	blk->requests_size = depth * BLK_REQUEST_SIZE;
	blk->requests = mmap(NULL, blk->requests_size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (blk->requests == MAP_FAILED) {
		blk->requests = NULL;
		return error_set_errno(err, -ENOMEM, "disk");
	}
	status = blk_engine_create(blk->image.fd, depth, blk->image.direct, operation_done, blk,
				   &blk->engine, err);
	if (status < 0)
		return status;
	if (blk_engine_fd(blk->engine) < 0) {
		log_warn(&vm->log, "disks: this host has no io_uring; I/O will be slower");
		return 0;
	}
	blk->engine_source = event_loop_add(vm->io_loop, blk_engine_fd(blk->engine), EPOLLIN,
					    engine_ready, blk);
	return blk->engine_source ? 0 : error_set_errno(err, -ENOMEM, "disk: event loop");
}

struct blk_options {
	char *path, *serial;
	bool readonly, direct, discard;
	uint64_t queues;
};

static int options_parse(const char *argument, struct blk_options *options, struct error *err)
{
	const struct option_field fields[] = {
		{"path", OPTION_TEXT, &options->path, true, false},
		{"readonly", OPTION_FLAG, &options->readonly, false, false},
		{"serial", OPTION_TEXT, &options->serial, false, false},
		{"direct", OPTION_FLAG, &options->direct, false, false},
		{"discard", OPTION_FLAG, &options->discard, false, false},
		{"queues", OPTION_NUMBER, &options->queues, false, false},
		{0},
	};
	int status = option_parse("disk", argument, fields, err);

	if (status < 0)
		return status;
	if (options->queues < 1 || options->queues > BLK_QUEUES_MAX)
		return error_set(err, -EINVAL, "--disk: queues=%llu is not from 1 to %u",
				 (unsigned long long)options->queues, BLK_QUEUES_MAX);
	if (options->serial && strlen(options->serial) > VIRTIO_BLK_ID_BYTES)
		return error_set(err, -EINVAL, "--disk: serial=%s is longer than %d characters",
				 options->serial, VIRTIO_BLK_ID_BYTES);
	return 0;
}

static int blk_make(struct vm *vm, const struct blk_options *options, struct error *err)
{
	struct blk *blk = calloc(1, sizeof(*blk));
	unsigned queues = (unsigned)options->queues;
	struct virtio_blk_config config;
	int status;

	if (!blk)
		return error_set(err, -ENOMEM, "--disk: out of memory");
	blk->discard = options->discard && !options->readonly;
	/* Not a string: filled up with zeroes, the last byte may be used. */
	memcpy(blk->id, options->serial ? options->serial : "",
	       options->serial ? strlen(options->serial) : 0);
	status = blk_image_open(&blk->image, options->path, options->readonly, options->direct,
				err);
	if (status == 0)
		status = blk_prepare(blk, vm, queues * BLK_QUEUE_SIZE, err);
	if (status == 0) {
		config = blk_config(blk, queues);
		status = virtio_device_create(vm, &blk->virtio, &blk_ops, "disk",
					      blk_features(blk, queues), queues, BLK_QUEUE_SIZE,
					      &config, sizeof(config), err);
	}
	if (status < 0)
		blk_free(blk);
	return status;
}

static int blk_create(struct vm *vm, const char *argument, struct error *err)
{
	struct blk_options options = {.discard = true, .queues = 1};
	int status = options_parse(argument, &options, err);

	if (status == 0)
		status = blk_make(vm, &options, err);
	free(options.path);
	free(options.serial);
	return status;
}

static const struct device_class blk_class = {
	.option = "disk",
	.argument = "path=FILE[,readonly][,serial=TEXT][,direct][,discard=on|off][,queues=N]",
	.help = "a disk on a raw image file or block device",
	.order = 110,
	.create = blk_create,
};
DEVICE_CLASS(blk_class);
