/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ways in which system calls on a disk's file are made off the I/O loop: io_uring
 * (blk_ring.c), and a few threads where the host has none (blk_pool.c).
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

/* One system call. The caller keeps it, and what it points to, until it is completed. */
struct blk_call {
	enum blk_call_kind kind;
	const struct iovec *iov;
	unsigned count;
	uint64_t offset;
	uint64_t length; /* bytes; of a range, for the last two */
	int result;	 /* bytes or -errno, once it is completed */
	STAILQ_ENTRY(blk_call) next;
};

/* Calls in the order in which they came. */
STAILQ_HEAD(blk_calls, blk_call);

struct blk_backend;

struct blk_backend_ops {
	/* Takes @call. It may not begin before submit(). */
	void (*add)(struct blk_backend *backend, struct blk_call *call);
	/* Begins what was added. False if the host has no memory for it now: call it again. */
	bool (*submit)(struct blk_backend *backend);
	/* The next call that is completed; NULL. */
	struct blk_call *(*next)(struct blk_backend *backend);
	/* Optional: starts threads, each of which enters @jail. */
	int (*start)(struct blk_backend *backend, struct jail *jail, struct error *err);
	/* Nothing is under way. */
	void (*destroy)(struct blk_backend *backend);
};

/* First in each back end. All functions: the thread that uses the engine. */
struct blk_backend {
	const struct blk_backend_ops *ops;
	int fd; /* readable when calls are completed */
};

/* -errno if the host has no io_uring, or not for us. @file is not owned. */
int blk_ring_create(int file, unsigned depth, struct blk_backend **backend);
int blk_pool_create(int file, struct blk_backend **backend);

/* Makes @call and waits for it. Any thread. Bytes or -errno. */
int blk_call_run(int file, const struct blk_call *call);

#endif
