/* SPDX-License-Identifier: BSD-2-Clause */
/* What a disk's request asks for (VIRTIO 1.2, 5.2.6), taken from its descriptor chain. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_REQUEST_H
#define SYMVM_DEVICES_VIRTIO_BLK_REQUEST_H

#include <stdint.h>

#include "devices/virtio/blk/blk_engine.h"
#include "devices/virtio/blk/blk_image.h"
#include "devices/virtio/core/virtio.h"

#define BLK_STATUS_PENDING 0xffu /* not a virtio status: there is an operation to carry out */

/* The largest range of one discard or write-zeroes request, in sectors. */
#define BLK_DISCARD_SECTORS_MAX (1u << 21)
#define BLK_ZEROES_SECTORS_MAX	(1u << 15)

struct blk_request {
	struct blk_operation operation;
	struct virtio_queue *queue;
	struct virtio_chain chain;
	uint32_t type;
	uint32_t written; /* into the chain when it succeeds, the status byte included */
	uint64_t sector;
	uint8_t *status; /* where the driver wants the outcome */
	bool in_flight;	 /* the engine has it */
	struct blk_request *next_free;
	struct iovec iov[];
};

/*
 * Reads the request in request->chain, whose parts are changed. Returns VIRTIO_BLK_S_* for what
 * is over already, BLK_STATUS_PENDING where request->operation is to be carried out, or
 * -EINVAL if there is no room for header or status: the device has to be failed.
 * @id: the disk's identity, VIRTIO_BLK_ID_BYTES.
 */
int blk_request_parse(struct blk_request *request, const struct blk_image *image, bool discard,
		      const char *id);

#endif
