/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio disk, shared by blk.c, which serves its requests, and blk_create.c, which creates it. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_H
#define SYMVM_DEVICES_VIRTIO_BLK_H

#include <linux/virtio_blk.h>

#include "devices/virtio/blk/blk_engine.h"
#include "devices/virtio/blk/blk_image.h"
#include "devices/virtio/blk/blk_request.h"
#include "devices/virtio/core/virtio.h"

#define BLK_QUEUE_SIZE 256u
/* Header and status are transferred together with the data. */
#define BLK_SEGMENTS	 (BLK_QUEUE_SIZE - 2)
#define BLK_REQUEST_SIZE (sizeof(struct blk_request) + BLK_QUEUE_SIZE * sizeof(struct iovec))

/* Errors of one kind, for which the log gets one line a minute. */
struct blk_complaints {
	uint64_t silent_until_ns; /* CLOCK_MONOTONIC */
	uint64_t untold;	  /* since the last line */
};

struct blk {
	struct virtio_device virtio;
	struct blk_image image;
	struct blk_engine *engine;
	struct event_source *engine_sources[BLK_ENGINE_FDS];
	char *path;
	bool discard; /* the guest may discard and write zeroes */
	char id[VIRTIO_BLK_ID_BYTES];

	/* Requests are in one mapping, whose pages are allocated when they are first used. */
	uint8_t *requests;
	size_t requests_size;
	unsigned requests_used; /* taken so far; some of them are in the free list */
	struct blk_request *free_list;
	bool retry_posted; /* the engine must submit again */

	/*
	 * With --on-disk-full=pause: requests that the host had no room for, until the VM is
	 * resumed.
	 */
	struct blk_request *held;
	_Atomic unsigned held_count;
	struct blk_complaints full, other;

	_Atomic uint64_t reads, writes, flushes, others;
	_Atomic uint64_t read_bytes, written_bytes, errors;
};

extern const struct virtio_ops blk_ops;

/*
 * The engine calls it when @operation is over, with 0 or -errno; @opaque is the disk. Loop thread.
 */
void blk_operation_done(void *opaque, struct blk_operation *operation, int status);
/* The loop calls it when the engine's descriptor is readable; @opaque is the disk. Loop thread. */
void blk_engine_ready(void *opaque, uint32_t events);
/* Frees @blk with all its resources. Nothing runs. Main thread. */
void blk_free(struct blk *blk);

#endif
