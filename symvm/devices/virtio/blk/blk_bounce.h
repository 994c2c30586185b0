/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that direct I/O cannot take as they are, because the host's file needs larger blocks or
 * better aligned memory than the guest knows of. They are copied through a buffer, one request at a
 * time and piece by piece. A part of a block is read, changed and written back. All functions: the
 * thread that uses the engine.
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
/* Whether its blocks are read and written back, so that no other write may happen in between. */
bool blk_bounce_excludes(const struct blk_access *access, const struct blk_operation *operation);
/* Prepares operation->call for the next piece. -ENOMEM if there is no memory for the buffer. */
int blk_bounce_begin(struct blk_bounce *bounce, const struct blk_access *access,
		     struct blk_operation *operation);
/*
 * Takes the @result of operation->call. Returns 1 if the call is prepared again for the second step
 * of the piece, 0 if the piece is done, or -errno.
 */
int blk_bounce_continue(struct blk_bounce *bounce, struct blk_operation *operation, int result);
/* Frees the buffer, if there is one. No operation is under way. */
void blk_bounce_free(struct blk_bounce *bounce);
/* Removes the first @bytes bytes from the operation. */
void blk_operation_advance(struct blk_operation *operation, uint64_t bytes);

#endif
