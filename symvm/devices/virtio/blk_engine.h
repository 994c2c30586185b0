/* SPDX-License-Identifier: BSD-2-Clause */
/* Carries out a disk's operations: by io_uring, or one after the other without it. */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_ENGINE_H
#define SYMVM_DEVICES_VIRTIO_BLK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

enum blk_kind {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,
	BLK_PUNCH, /* zeroes, deallocated */
	BLK_ZERO,  /* zeroes, allocated where the file system can */
};

struct blk_operation {
	enum blk_kind kind;
	struct iovec *iov; /* changed when an operation has to go on after a short transfer */
	unsigned count;
	uint64_t offset;
	uint64_t length; /* bytes */
};

/* Called with 0 or -errno, on the thread that calls the engine. */
typedef void (*blk_done)(void *opaque, struct blk_operation *operation, int status);

struct blk_engine;

/*
 * @fd is not owned, and past the page cache where @direct; at most @depth operations at once. Main
 * thread, before the jail closes. The other functions: one thread, the I/O loop's.
 */
int blk_engine_create(int fd, unsigned depth, bool direct, blk_done done, void *opaque,
		      struct blk_engine **engine, struct error *err);
void blk_engine_destroy(struct blk_engine *engine);
/* Becomes readable when operations completed; -1 where all complete at once. */
int blk_engine_fd(const struct blk_engine *engine);
/* Takes an operation, which must stay until it is done. May call done at once. */
void blk_engine_add(struct blk_engine *engine, struct blk_operation *operation);
/* Starts what was added, with one system call, and completes what is ready. */
void blk_engine_submit(struct blk_engine *engine);
/* Completes what is ready. */
void blk_engine_reap(struct blk_engine *engine);
/* Waits until everything is done. */
void blk_engine_drain(struct blk_engine *engine);

#endif
