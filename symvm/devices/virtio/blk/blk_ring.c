// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads and writes of a disk's file by io_uring, as far as nobody has to wait for them.
 *
 * By itself, io_uring hands a call that would wait to the kernel's workers. They belong to the
 * thread that submits, so all disks share them: at most four per CPU, and one per hash of 6 bits of
 * the file for writes to the page cache (io_init_wq_offload(), io_wq_hash_work() in Linux). One
 * disk that does not answer would hold up others. With RWF_NOWAIT no call reaches them.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_backend.h"
#include "util/container_of.h"

struct blk_ring {
	struct blk_backend backend;
	struct io_uring ring;
	struct blk_calls waiting; /* no entry was free for them */
};

static int ring_create(struct io_uring *ring, unsigned depth)
{
	int status = io_uring_queue_init(depth, ring,
					 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_R_DISABLED);

	if (status == -EINVAL)
		status = io_uring_queue_init(depth, ring, IORING_SETUP_R_DISABLED);
	return status;
}

static int ring_register(struct io_uring *ring, unsigned what, const void *argument, unsigned count)
{
	return syscall(SYS_io_uring_register, ring->ring_fd, what, argument, count) < 0 ? -errno
											: 0;
}

/*
 * Restricts the ring to these operations on the disk: seccomp does not see requests to a ring,
 * which could also open files and sockets. io_uring_register(2), Linux 5.10; not every liburing
 * exports these two.
 */
static int ring_restrict(struct io_uring *ring, int fd)
{
	const struct io_uring_restriction only[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
	};
	int status = io_uring_register_files(ring, &fd, 1);

	if (status == 0)
		status = ring_register(ring, IORING_REGISTER_RESTRICTIONS, only,
				       sizeof(only) / sizeof(only[0]));
	return status == 0 ? ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) : status;
}

static void call_prepare(struct io_uring_sqe *sqe, struct blk_call *call)
{
	if (call->kind == BLK_CALL_READ)
		io_uring_prep_readv2(sqe, 0, call->iov, call->count, call->offset, RWF_NOWAIT);
	else
		io_uring_prep_writev2(sqe, 0, call->iov, call->count, call->offset, RWF_NOWAIT);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, call);
}

static bool ring_take(struct blk_ring *ring, struct blk_call *call)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);

	/* The ring is full of calls that were not submitted yet. */
	if (!sqe && io_uring_submit(&ring->ring) >= 0)
		sqe = io_uring_get_sqe(&ring->ring);
	if (sqe)
		call_prepare(sqe, call);
	return sqe;
}

static struct blk_ring *to_ring(struct blk_backend *backend)
{
	return container_of(backend, struct blk_ring, backend);
}

static void ring_add(struct blk_backend *backend, struct blk_call *call)
{
	struct blk_ring *ring = to_ring(backend);

	if (!STAILQ_EMPTY(&ring->waiting) || !ring_take(ring, call))
		STAILQ_INSERT_TAIL(&ring->waiting, call, next);
}

static bool ring_submit(struct blk_backend *backend)
{
	struct blk_ring *ring = to_ring(backend);

	while (!STAILQ_EMPTY(&ring->waiting) && ring_take(ring, STAILQ_FIRST(&ring->waiting)))
		STAILQ_REMOVE_HEAD(&ring->waiting, next);
	if (!io_uring_sq_ready(&ring->ring))
		return STAILQ_EMPTY(&ring->waiting);
	return io_uring_submit(&ring->ring) >= 0 && !io_uring_sq_ready(&ring->ring) &&
	       STAILQ_EMPTY(&ring->waiting);
}

static struct blk_call *ring_next(struct blk_backend *backend)
{
	struct blk_ring *ring = to_ring(backend);
	struct io_uring_cqe *cqe;
	struct blk_call *call;

	if (io_uring_peek_cqe(&ring->ring, &cqe) != 0)
		return NULL;
	call = io_uring_cqe_get_data(cqe);
	call->result = cqe->res;
	io_uring_cqe_seen(&ring->ring, cqe);
	return call;
}

static void ring_destroy(struct blk_backend *backend)
{
	struct blk_ring *ring = to_ring(backend);

	io_uring_queue_exit(&ring->ring);
	free(ring);
}

static const struct blk_backend_ops ring_ops = {
	.add = ring_add,
	.submit = ring_submit,
	.next = ring_next,
	.destroy = ring_destroy,
};

int blk_ring_create(int file, unsigned depth, struct blk_backend **backend)
{
	struct blk_ring *ring = calloc(1, sizeof(*ring));
	int status;

	if (!ring)
		return -ENOMEM;
	STAILQ_INIT(&ring->waiting);
	status = ring_create(&ring->ring, depth);
	if (status < 0) {
		free(ring);
		return status;
	}
	status = ring_restrict(&ring->ring, file);
	if (status < 0) {
		ring_destroy(&ring->backend);
		return status;
	}
	ring->backend.ops = &ring_ops;
	ring->backend.fd = ring->ring.ring_fd;
	*backend = &ring->backend;
	return 0;
}
