/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ways to make system calls on a disk's file without waiting on the I/O loop: an io_uring
 * for calls that the kernel can make without waiting (blk_ring.c), and the disk's own threads for
 * all others (blk_pool.c).
 */
#ifndef SYMVM_DEVICES_VIRTIO_BLK_BACKEND_H
#define SYMVM_DEVICES_VIRTIO_BLK_BACKEND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "util/error.h"

struct jail;

enum blk_call_kind {
	BLK_CALL_READ,
	BLK_CALL_WRITE,
	BLK_CALL_SYNC,
	BLK_CALL_PUNCH, /* fallocate(2): a hole */
	BLK_CALL_ZERO,	/* fallocate(2): zeroes, allocated */
};

/* One system call. The caller keeps it, and the memory it points to, until it is completed. */
struct blk_call {
	enum blk_call_kind kind;
	const struct iovec *iov;
	unsigned count;
	uint64_t offset;
	uint64_t length; /* bytes; of a range, for the last two */
	bool may_wait;	 /* a thread makes it */
	int result;	 /* bytes or -errno, once it is completed */
	STAILQ_ENTRY(blk_call) next;
};

/* Calls in the order in which they came. */
STAILQ_HEAD(blk_calls, blk_call);

struct blk_backend;

struct blk_backend_ops {
	/* Takes @call, which may not begin before submit(). */
	void (*add)(struct blk_backend *backend, struct blk_call *call);
	/*
	 * Begins the calls that were added. False if the host has no memory for it now: call it
	 * again.
	 */
	bool (*submit)(struct blk_backend *backend);
	/* The next completed call, or NULL. */
	struct blk_call *(*next)(struct blk_backend *backend);
	/* Optional: starts threads, each of which enters @jail. Main thread. -errno with words. */
	int (*start)(struct blk_backend *backend, struct jail *jail, struct error *err);
	/* Frees the back end. No call is under way. */
	void (*destroy)(struct blk_backend *backend);
};

/*
 * First member of each back end. All functions, unless they say otherwise: the thread that uses the
 * engine.
 */
struct blk_backend {
	const struct blk_backend_ops *ops;
	int fd; /* readable when calls are completed */
};

/*
 * Creates the back end that uses io_uring, for at most @depth calls at once. @file is not owned.
 * It takes reads and writes alone. A call that would have to wait completes with -EAGAIN, and one
 * that the file can only make by waiting with -EOPNOTSUPP (RWF_NOWAIT of preadv2(2)). So the
 * kernel's workers never get one: all rings of a thread share them, and a disk that does not answer
 * would take them away from other disks. -errno if the host has no io_uring, or does not allow it
 * to us. Main thread, before the jail closes.
 */
int blk_ring_create(int file, unsigned depth, struct blk_backend **backend);
/*
 * Creates the back end that uses threads. @file is not owned. -ENOMEM or eventfd(2)'s error. Main
 * thread.
 */
int blk_pool_create(int file, struct blk_backend **backend);

/* Makes @call and waits for it. Returns bytes or -errno. Any thread. */
int blk_call_run(int file, const struct blk_call *call);

#endif
