/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carries out a disk's operations off the thread that asks for them: whatever the host's disk
 * does, no function here waits for it. Hides what the host's file cannot do: short transfers,
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
	BLK_ZERO,	/* zeroes, allocated where the file system can */
	BLK_ZERO_UNMAP, /* zeroes, deallocated where the file system can */
};

struct blk_operation {
	enum blk_kind kind;
	/* Changed while the operation is under way: what is left of it. */
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
	bool direct;		/* past the page cache */
	unsigned offset_align;	/* bytes, of offsets and lengths; a power of two */
	unsigned memory_align;	/* bytes, of addresses; a power of two */
	bool no_punch, no_zero; /* known not to work: fallocate(2) with these modes */
};

/* Called with 0 or -errno, on the thread that calls the engine. */
typedef void (*blk_done)(void *opaque, struct blk_operation *operation, int status);

struct blk_engine;

/*
 * @fd is not owned; at most @depth operations at once. @ring: by io_uring where the host has it.
 * Main thread, before the jail closes. The other functions: one thread, the I/O loop's.
 */
int blk_engine_create(int fd, unsigned depth, const struct blk_access *access, bool ring,
		      blk_done done, void *opaque, struct blk_engine **engine, struct error *err);
/* Starts its threads, if it has any, which enter @jail. Main thread. */
int blk_engine_start(struct blk_engine *engine, struct jail *jail, struct error *err);
/* Nothing is under way. */
void blk_engine_destroy(struct blk_engine *engine);
/* Becomes readable when operations completed. */
int blk_engine_fd(const struct blk_engine *engine);
/* Whether it works by io_uring. */
bool blk_engine_has_ring(const struct blk_engine *engine);
/*
 * Takes an operation, which must stay until it is done. May call done at once. After -ENOSPC and
 * the like the same operation can be added again, and continues with what is left of it.
 */
void blk_engine_add(struct blk_engine *engine, struct blk_operation *operation);
/*
 * Starts what was added, with one system call, and completes what is ready. False if the host
 * has no memory for that now: it has to be called again.
 */
bool blk_engine_submit(struct blk_engine *engine);
/* Completes what is ready. */
bool blk_engine_reap(struct blk_engine *engine);
/* Whether operations are under way that may touch the memory that they were given. */
bool blk_engine_busy(const struct blk_engine *engine);
/* Waits at most @ms milliseconds until something is done, and completes it. */
void blk_engine_wait(struct blk_engine *engine, unsigned ms);

#endif
