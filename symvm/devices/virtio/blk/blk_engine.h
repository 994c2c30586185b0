/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out a disk's operations off the calling thread: no function here waits for the host's
 * disk, except blk_engine_wait(). It hides the limits of the host's file: short transfers,
 * alignment of direct I/O, missing fallocate(2).
 */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_ENGINE_H
#define SYMVM_DEVICES_VIRTIO_BLK_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "devices/virtio/blk/blk_backend.h"
#include "util/error.h"

enum blk_kind {
	BLK_READ,
	BLK_WRITE,
	BLK_FLUSH,
	BLK_DISCARD,	/* a hint: nothing happens if the host cannot punch holes */
	BLK_ZERO,	/* zeroes, allocated if the file system can */
	BLK_ZERO_UNMAP, /* zeroes, deallocated if the file system can */
};

struct blk_operation {
	enum blk_kind kind;
	/* Changed while the operation is under way: the part that is left. */
	struct iovec *iov;
	unsigned count;
	uint64_t offset;
	uint64_t length; /* bytes */
	/* The engine's. */
	struct blk_call call;
	unsigned tries;
	bool writes_zeroes;
	struct iovec zeroes;
	STAILQ_ENTRY(blk_operation) next;
};

/* How the file wants to be accessed. */
struct blk_access {
	bool direct;		/* bypass the page cache */
	unsigned offset_align;	/* bytes, of offsets and lengths; a power of two */
	unsigned memory_align;	/* bytes, of addresses; a power of two */
	bool no_punch, no_zero; /* fallocate(2) with these modes is known to fail */
};

/* Called with 0 or -errno, on the thread that calls the engine. */
typedef void (*blk_done)(void *opaque, struct blk_operation *operation, int status);

struct blk_engine;

/*
 * Creates an engine for the file @fd, which is not owned, with at most @depth operations at once.
 * @ring: use io_uring if the host has it. Calls @done with @opaque. Main thread, before the jail
 * closes. -ENOMEM or another -errno, with words. The other functions: one thread, the I/O loop's,
 * unless they say otherwise.
 */
int blk_engine_create(int fd, unsigned depth, const struct blk_access *access, bool ring,
		      blk_done done, void *opaque, struct blk_engine **engine, struct error *err);
/* Starts the engine's threads, if it has any; they enter @jail. Main thread. -errno with words. */
int blk_engine_start(struct blk_engine *engine, struct jail *jail, struct error *err);
/* Frees the engine. No operation is under way. NULL is allowed. Main thread. */
void blk_engine_destroy(struct blk_engine *engine);
#define BLK_ENGINE_FDS 2u
/*
 * The descriptors, of which one becomes readable when operations completed. Returns their number.
 * The engine's. Any thread.
 */
unsigned blk_engine_fds(const struct blk_engine *engine, int fds[BLK_ENGINE_FDS]);
/* Whether it uses io_uring for calls that do not wait. Any thread. */
bool blk_engine_has_ring(const struct blk_engine *engine);
/*
 * Takes an operation, which must stay until it is done. May call done at once. After -ENOSPC and
 * similar errors the same operation can be added again, and continues with the part that is left.
 */
void blk_engine_add(struct blk_engine *engine, struct blk_operation *operation);
/*
 * Starts the operations that were added, with one system call, and completes those that are ready.
 * False if the host has no memory for that now: call it again.
 */
bool blk_engine_submit(struct blk_engine *engine);
/* Completes the operations that are ready. */
bool blk_engine_reap(struct blk_engine *engine);
/* Whether operations under way may still touch the memory that they were given. */
bool blk_engine_busy(const struct blk_engine *engine);
/* Waits at most @ms milliseconds until an operation is done, and completes it. */
void blk_engine_wait(struct blk_engine *engine, unsigned ms);

#endif
