// SPDX-License-Identifier: BSD-2-Clause
#include "devices/virtio/blk_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

#define ZEROES_SIZE  65536u
#define ZEROES_PARTS 256u

/*
 * Some operations are carried out at once, on the loop's own thread, since the kernel
 * would only hand them to a worker thread: writes to the page cache, and reads
 * where the file system can't read without waiting. That is a copy of memory; where one takes
 * longer, the next ones go through the ring, so that the loop is not held up again and again.
 */
#define INLINE_LIMIT_NS 2000000
#define INLINE_HOLD_OFF 64u

struct inline_policy {
	bool wanted;
	unsigned hold_off; /* operations that go through the ring before the next try */
};

struct blk_engine {
	int fd;
	bool has_ring;
	struct inline_policy reads, writes;
	struct io_uring ring;
	unsigned in_flight; /* in the ring, submitted or not */
	blk_done done;
	void *opaque;
};

/* Takes @bytes off the front of the operation. */
static void operation_advance(struct blk_operation *operation, uint64_t bytes)
{
	operation->offset += bytes;
	operation->length -= bytes;
	while (bytes && operation->count) {
		size_t part = operation->iov->iov_len;

		if (bytes < part) {
			operation->iov->iov_base = (char *)operation->iov->iov_base + bytes;
			operation->iov->iov_len -= bytes;
			return;
		}
		bytes -= part;
		operation->iov++;
		operation->count--;
	}
}

/* Writes zeroes where the file system has no call for it. */
static int zeroes_write(int fd, uint64_t offset, uint64_t length)
{
	static const uint8_t zeroes[ZEROES_SIZE] __attribute__((aligned(4096)));
	struct iovec iov[ZEROES_PARTS];

	while (length) {
		unsigned count = 0;
		uint64_t bytes = 0;
		ssize_t written;

		for (; count < ZEROES_PARTS && bytes < length; count++) {
			iov[count].iov_base = (void *)zeroes;
			iov[count].iov_len = length - bytes < ZEROES_SIZE ? length - bytes
									  : ZEROES_SIZE;
			bytes += iov[count].iov_len;
		}
		written = pwritev(fd, iov, (int)count, (off_t)offset);
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		offset += (uint64_t)written;
		length -= (uint64_t)written;
	}
	return 0;
}

static int range_zero(int fd, const struct blk_operation *operation)
{
	int mode = operation->kind == BLK_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

	if (fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)operation->offset,
		      (off_t)operation->length) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return zeroes_write(fd, operation->offset, operation->length);
}

/* Carries out one operation and waits for it. */
static int operation_run(int fd, struct blk_operation *operation)
{
	if (operation->kind == BLK_FLUSH)
		return fdatasync(fd) < 0 ? -errno : 0;
	if (operation->kind == BLK_PUNCH || operation->kind == BLK_ZERO)
		return range_zero(fd, operation);
	while (operation->length) {
		ssize_t bytes;

		if (operation->kind == BLK_READ)
			bytes = preadv(fd, operation->iov, (int)operation->count,
				       (off_t)operation->offset);
		else
			bytes = pwritev(fd, operation->iov, (int)operation->count,
					(off_t)operation->offset);
		if (bytes < 0 && errno == EINTR)
			continue;
		/* Nothing read: the file ends before the disk does. Somebody truncated it. */
		if (bytes <= 0)
			return bytes < 0 ? -errno : -EIO;
		operation_advance(operation, (uint64_t)bytes);
	}
	return 0;
}

/* Whether the kernel can tell that a read would wait, and completes it at once otherwise. */
static bool reads_without_waiting(int fd)
{
	char byte[1];
	struct iovec iov = {.iov_base = byte, .iov_len = sizeof(byte)};

	return preadv2(fd, &iov, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

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
 * Leaves the ring these operations on the disk and nothing else: seccomp does not see what is
 * asked of a ring, which could open files and sockets, too. io_uring_register(2), Linux 5.10;
 * not every liburing exports these two.
 */
static int ring_restrict(struct io_uring *ring, int fd)
{
	const struct io_uring_restriction only[] = {
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
		{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE},
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
	};
	int status = io_uring_register_files(ring, &fd, 1);

	if (status == 0)
		status = ring_register(ring, IORING_REGISTER_RESTRICTIONS, only,
				       sizeof(only) / sizeof(only[0]));
	return status == 0 ? ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) : status;
}

int blk_engine_create(int fd, unsigned depth, bool direct, blk_done done, void *opaque,
		      struct blk_engine **out, struct error *err)
{
	struct blk_engine *engine = calloc(1, sizeof(*engine));
	int status;

	if (!engine)
		return error_set(err, -ENOMEM, "out of memory");
	engine->fd = fd;
	engine->done = done;
	engine->opaque = opaque;
	engine->reads.wanted = !direct && !reads_without_waiting(fd);
	engine->writes.wanted = !direct;
	/* Off by sysctl or by a container's seccomp filter: slower, not wrong. */
	engine->has_ring = ring_create(&engine->ring, depth) == 0;
	if (engine->has_ring) {
		status = ring_restrict(&engine->ring, fd);
		if (status < 0) {
			blk_engine_destroy(engine);
			return error_set_errno(err, status, "io_uring");
		}
	}
	*out = engine;
	return 0;
}

void blk_engine_destroy(struct blk_engine *engine)
{
	if (!engine)
		return;
	blk_engine_drain(engine);
	if (engine->has_ring)
		io_uring_queue_exit(&engine->ring);
	free(engine);
}

int blk_engine_fd(const struct blk_engine *engine)
{
	return engine->has_ring ? engine->ring.ring_fd : -1;
}

static void operation_prepare(struct io_uring_sqe *sqe, struct blk_operation *operation)
{
	switch (operation->kind) {
	case BLK_READ:
		io_uring_prep_readv(sqe, 0, operation->iov, operation->count, operation->offset);
		break;
	case BLK_WRITE:
		io_uring_prep_writev(sqe, 0, operation->iov, operation->count, operation->offset);
		break;
	case BLK_FLUSH:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	case BLK_PUNCH:
		io_uring_prep_fallocate(sqe, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					(off_t)operation->offset, (off_t)operation->length);
		break;
	case BLK_ZERO:
		io_uring_prep_fallocate(sqe, 0, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
					(off_t)operation->offset, (off_t)operation->length);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, operation);
}

static struct io_uring_sqe *sqe_get(struct blk_engine *engine)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);

	if (sqe)
		return sqe;
	/* Full of what was not submitted yet. */
	if (io_uring_submit(&engine->ring) < 0)
		return NULL;
	return io_uring_get_sqe(&engine->ring);
}

/* Carries out @operation at once where that is wanted; else false. */
static bool operation_inline(struct blk_engine *engine, struct blk_operation *operation)
{
	struct inline_policy *policy;
	uint64_t start;
	int status;

	if (operation->kind != BLK_READ && operation->kind != BLK_WRITE)
		return false;
	policy = operation->kind == BLK_READ ? &engine->reads : &engine->writes;
	if (!policy->wanted)
		return false;
	if (policy->hold_off) {
		policy->hold_off--;
		return false;
	}
	start = clock_now_ns();
	status = operation_run(engine->fd, operation);
	if (clock_now_ns() - start > INLINE_LIMIT_NS)
		policy->hold_off = INLINE_HOLD_OFF;
	engine->done(engine->opaque, operation, status);
	return true;
}

void blk_engine_add(struct blk_engine *engine, struct blk_operation *operation)
{
	struct io_uring_sqe *sqe;

	if (operation_inline(engine, operation))
		return;
	sqe = engine->has_ring ? sqe_get(engine) : NULL;
	if (!sqe) {
		engine->done(engine->opaque, operation, operation_run(engine->fd, operation));
		return;
	}
	operation_prepare(sqe, operation);
	engine->in_flight++;
}

/* Whether @operation is over with @result of the ring; else it went into the ring again. */
static bool operation_over(struct blk_engine *engine, struct blk_operation *operation, int *result)
{
	bool transfer = operation->kind == BLK_READ || operation->kind == BLK_WRITE;

	if (*result == -EINTR || *result == -EAGAIN) {
		*result = operation_run(engine->fd, operation);
		return true;
	}
	if (*result < 0 && !transfer && (*result == -EOPNOTSUPP || *result == -EINVAL)) {
		/* No such call on this file. */
		*result = operation_run(engine->fd, operation);
		return true;
	}
	if (*result < 0 || !transfer || (uint64_t)*result >= operation->length) {
		if (*result > 0)
			*result = 0;
		return true;
	}
	if (*result == 0) {
		*result = -EIO;
		return true;
	}
	/* Short: the rest decides whether it was the end of the file or of the device. */
	operation_advance(operation, (uint64_t)*result);
	blk_engine_add(engine, operation);
	return false;
}

/* Gives what was added to the kernel. Without memory it takes nothing for a while. */
static void ring_submit(struct blk_engine *engine)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	while (io_uring_sq_ready(&engine->ring) && io_uring_submit(&engine->ring) < 0)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

void blk_engine_reap(struct blk_engine *engine)
{
	struct io_uring_cqe *cqe;

	while (engine->in_flight && io_uring_peek_cqe(&engine->ring, &cqe) == 0) {
		struct blk_operation *operation = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&engine->ring, cqe);
		engine->in_flight--;
		if (operation_over(engine, operation, &result))
			engine->done(engine->opaque, operation, result);
	}
	/* The rest of short transfers. */
	if (engine->has_ring)
		ring_submit(engine);
}

void blk_engine_submit(struct blk_engine *engine)
{
	if (!engine->has_ring)
		return;
	ring_submit(engine);
	blk_engine_reap(engine);
}

void blk_engine_drain(struct blk_engine *engine)
{
	while (engine->in_flight) {
		/* Retried until the kernel gives all of it back: it has our guest's pages. */
		io_uring_submit_and_wait(&engine->ring, 1);
		blk_engine_reap(engine);
	}
}
