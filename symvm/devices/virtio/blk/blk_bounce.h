/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that direct I/O does not take as they are, since the host's file wants larger blocks
 * or better aligned memory than the guest knows of: they go through a buffer, one at a
 * time and piece by piece. A part of a block is read, changed and written back.
 */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_BOUNCE_H
#define SYMVM_DEVICES_VIRTIO_BLK_BOUNCE_H

#include "devices/virtio/blk/blk_engine.h"

struct blk_bounce {
	uint8_t *buffer; /* NULL: not needed yet */
	struct iovec iov;
	uint64_t start;	 /* of the piece in the file */
	uint64_t length; /* of the piece, whole blocks */
	uint64_t skip;	 /* bytes of the piece before the operation's first */
	uint64_t bytes;	 /* of the operation in the piece */
	bool reading;	 /* the blocks that are then written */
};

/* Whether @operation cannot go to the file as it is. */
bool blk_bounce_needed(const struct blk_access *access, const struct blk_operation *operation);
/* Whether its blocks are read and written back, so that no other write may come in between. */
bool blk_bounce_excludes(const struct blk_access *access, const struct blk_operation *operation);
/* Prepares operation->call for the next piece. -ENOMEM. */
int blk_bounce_begin(struct blk_bounce *bounce, const struct blk_access *access,
		     struct blk_operation *operation);
/*
 * operation->call gave @result. 1: it is prepared again, for the second step of the piece; 0: the
 * piece is done; -errno.
 */
int blk_bounce_continue(struct blk_bounce *bounce, struct blk_operation *operation, int result);
void blk_bounce_free(struct blk_bounce *bounce);
/* Takes @bytes off the front of the operation. */
void blk_operation_advance(struct blk_operation *operation, uint64_t bytes);

#endif
