/* SPDX-License-Identifier: BSD-2-Clause */
/* Decodes a disk's request (VIRTIO 1.2, 5.2.6) from its descriptor chain. */
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
	uint32_t written; /* bytes into the chain on success, with the status byte */
	uint64_t sector;
	uint8_t *status; /* where the driver wants the result */
	bool in_flight;	 /* the engine has it */
	struct blk_request *next_free;
	struct iovec iov[];
};

/*
 * Reads the request in request->chain and changes the chain's parts. Returns VIRTIO_BLK_S_* if the
 * request is over already, BLK_STATUS_PENDING if request->operation is to be carried out, or
 * -EINVAL if there is no room for header or status: the caller must then fail the device. @id: the
 * disk's identity, VIRTIO_BLK_ID_BYTES bytes. Loop thread.
 */
int blk_request_parse(struct blk_request *request, const struct blk_image *image, bool discard,
		      const char *id);

#endif
