// SPDX-License-Identifier: BSD-2-Clause
/*
 * Carries out a disk's operations through two back ends (blk_backend.h): the ring makes calls that
 * need not wait, and the disk's own threads make the others.
 *
 * An operation becomes one system call, or several: after a short transfer the rest is sent again,
 * and zeroes that the file system cannot allocate by itself are written in pieces of a megabyte. An
 * operation whose blocks or memory do not suit direct I/O waits for the one bounce buffer. If it
 * has to read and write back a part of a block, it waits until no other change is under way, and
 * changes that arrive meanwhile are held. Files in memory are read and written at once, without a
 * back end.
 */
#include "devices/virtio/blk/blk_engine.h"

#include <errno.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/vfs.h>

#include "devices/virtio/blk/blk_bounce.h"
#include "util/clock.h"
#include "util/container_of.h"

#define ZEROES_SIZE (1u << 20)
#define TRIES_MAX   16u /* of a call that the kernel gives up without a disk error */

/*
 * Files in memory (tmpfs and the like) never wait for a disk, and the kernel would only hand
 * operations on them to a worker thread. So the loop's own thread carries them out at once: they
 * copy memory. If one takes longer than expected, the next ones are sent to the back end.
 */
#define INLINE_LIMIT_NS 2000000
#define INLINE_HOLD_OFF 64u
#define INLINE_LENGTH	(1u << 20)

struct inline_policy {
	bool wanted;
	unsigned hold_off; /* operations for the back end before the next try */
};

STAILQ_HEAD(operations, blk_operation);

struct blk_engine {
	int fd;
	struct blk_access access;
	struct inline_policy reads, writes;
	struct blk_backend *threads;
	struct blk_backend *ring;     /* NULL: the threads make all calls */
	bool read_waits, write_waits; /* of no use to the ring */
	unsigned under_way;	      /* with the back ends */
	unsigned changes;	      /* so many of them change the file */
	blk_done done;
	void *opaque;

	struct blk_bounce bounce;
	struct blk_operation *bounced; /* the operation that uses the buffer */
	struct operations to_bounce;   /* operations that wait for the buffer */
	bool exclusive;		/* the buffer's operation waits for, or is, the only change */
	bool bounce_due;	/* its piece has not begun */
	struct operations held; /* changes that wait until that is over */
};

static struct blk_operation *take_first(struct operations *list)
{
	struct blk_operation *operation = STAILQ_FIRST(list);

	if (operation)
		STAILQ_REMOVE_HEAD(list, next);
	return operation;
}

/* Whether the kernel can tell that a read would wait, and completes it at once otherwise. */
static bool reads_without_waiting(int fd)
{
	char byte[1];
	struct iovec iov = {.iov_base = byte, .iov_len = sizeof(byte)};

	return preadv2(fd, &iov, 1, 0, RWF_NOWAIT) >= 0 || errno != EOPNOTSUPP;
}

static bool lies_in_memory(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC ||
					 fs.f_type == HUGETLBFS_MAGIC);
}

int blk_engine_create(int fd, unsigned depth, const struct blk_access *access, bool ring,
		      blk_done done, void *opaque, struct blk_engine **out, struct error *err)
{
	struct blk_engine *engine = calloc(1, sizeof(*engine));
	int status;

	if (!engine)
		return error_set(err, -ENOMEM, "disk: out of memory");
	engine->fd = fd;
	engine->access = *access;
	engine->done = done;
	engine->opaque = opaque;
	STAILQ_INIT(&engine->to_bounce);
	STAILQ_INIT(&engine->held);
	engine->writes.wanted = !access->direct && lies_in_memory(fd);
	engine->reads.wanted = engine->writes.wanted && !reads_without_waiting(fd);
	/*
	 * A write to the page cache can wait for one that is on its way to the disk (stable pages),
	 * although it was told not to wait.
	 */
	engine->write_waits = !access->direct;
	status = blk_pool_create(fd, &engine->threads);
	if (status < 0) {
		free(engine);
		return error_set_errno(err, status, "disk: threads");
	}
	/*
	 * It may be off by sysctl or by a container's seccomp filter: then it is slower, but works.
	 */
	if (ring && blk_ring_create(fd, depth, &engine->ring) < 0)
		engine->ring = NULL;
	*out = engine;
	return 0;
}

int blk_engine_start(struct blk_engine *engine, struct jail *jail, struct error *err)
{
	return engine->threads->ops->start(engine->threads, jail, err);
}

void blk_engine_destroy(struct blk_engine *engine)
{
	if (!engine)
		return;
	if (engine->ring)
		engine->ring->ops->destroy(engine->ring);
	engine->threads->ops->destroy(engine->threads);
	blk_bounce_free(&engine->bounce);
	free(engine);
}

unsigned blk_engine_fds(const struct blk_engine *engine, int fds[BLK_ENGINE_FDS])
{
	fds[0] = engine->threads->fd;
	if (!engine->ring)
		return 1;
	fds[1] = engine->ring->fd;
	return 2;
}

bool blk_engine_has_ring(const struct blk_engine *engine)
{
	return engine->ring;
}

static bool changes_file(const struct blk_operation *operation)
{
	return operation->kind != BLK_READ && operation->kind != BLK_FLUSH;
}

/* Whether a thread has to make @call, as far as is known. */
static bool call_may_wait(const struct blk_engine *engine, const struct blk_call *call)
{
	if (!engine->ring)
		return true;
	if (call->kind == BLK_CALL_READ)
		return engine->read_waits;
	return call->kind != BLK_CALL_WRITE || engine->write_waits;
}

static void call_send(struct blk_engine *engine, struct blk_call *call)
{
	struct blk_backend *backend = call->may_wait ? engine->threads : engine->ring;

	backend->ops->add(backend, call);
}

/* Sends operation->call to a back end. */
static void call_add(struct blk_engine *engine, struct blk_operation *operation)
{
	engine->under_way++;
	engine->changes += changes_file(operation);
	operation->call.may_wait = call_may_wait(engine, &operation->call);
	call_send(engine, &operation->call);
}

/* Gives @call to the threads if the ring could not make it without waiting. */
static bool call_waits(struct blk_engine *engine, struct blk_call *call)
{
	if (call->may_wait || (call->result != -EAGAIN && call->result != -EOPNOTSUPP))
		return false;
	/* This file, or the device below it, has no calls that do not wait. */
	if (call->result == -EOPNOTSUPP && call->kind == BLK_CALL_READ)
		engine->read_waits = true;
	else if (call->result == -EOPNOTSUPP)
		engine->write_waits = true;
	call->may_wait = true;
	call_send(engine, call);
	return true;
}

/* The next megabyte of zeroes, if the file system has no call for the whole range. */
static void zeroes_prepare(struct blk_operation *operation)
{
	static const uint8_t zeroes[ZEROES_SIZE] __attribute__((aligned(4096)));
	uint64_t length = operation->length < ZEROES_SIZE ? operation->length : ZEROES_SIZE;

	operation->writes_zeroes = true;
	operation->zeroes = (struct iovec){(void *)zeroes, length};
	operation->call = (struct blk_call){.kind = BLK_CALL_WRITE,
					    .iov = &operation->zeroes,
					    .count = 1,
					    .offset = operation->offset,
					    .length = length};
}

/* False if there is nothing to do: a hint that the host cannot follow. */
static bool call_prepare(struct blk_engine *engine, struct blk_operation *operation)
{
	static const enum blk_call_kind kinds[] = {
		[BLK_READ] = BLK_CALL_READ,	   [BLK_WRITE] = BLK_CALL_WRITE,
		[BLK_FLUSH] = BLK_CALL_SYNC,	   [BLK_DISCARD] = BLK_CALL_PUNCH,
		[BLK_ZERO_UNMAP] = BLK_CALL_PUNCH, [BLK_ZERO] = BLK_CALL_ZERO,
	};
	enum blk_call_kind kind = kinds[operation->kind];

	if (kind == BLK_CALL_PUNCH && engine->access.no_punch) {
		if (operation->kind == BLK_DISCARD)
			return false;
		kind = BLK_CALL_ZERO;
	}
	if (kind == BLK_CALL_ZERO && engine->access.no_zero) {
		zeroes_prepare(operation);
		return true;
	}
	operation->call = (struct blk_call){.kind = kind,
					    .iov = operation->iov,
					    .count = operation->count,
					    .offset = operation->offset,
					    .length = operation->length};
	return true;
}

/* Carries out @operation at once if the policy says so; else returns false. */
static bool operation_inline(struct blk_engine *engine, struct blk_operation *operation)
{
	struct inline_policy *policy;
	uint64_t start;
	int result = 0;

	if (operation->kind != BLK_READ && operation->kind != BLK_WRITE)
		return false;
	policy = operation->kind == BLK_READ ? &engine->reads : &engine->writes;
	if (!policy->wanted || operation->length > INLINE_LENGTH)
		return false;
	if (policy->hold_off) {
		policy->hold_off--;
		return false;
	}
	start = clock_now_ns();
	while (operation->length && result >= 0) {
		call_prepare(engine, operation);
		result = blk_call_run(engine->fd, &operation->call);
		if (result == 0)
			result = -EIO;
		else if (result == -EINTR)
			result = 0;
		else if (result > 0)
			blk_operation_advance(operation, (uint64_t)result);
	}
	if (clock_now_ns() - start > INLINE_LIMIT_NS)
		policy->hold_off = INLINE_HOLD_OFF;
	engine->done(engine->opaque, operation, result < 0 ? result : 0);
	return true;
}

/* The operation that had the buffer is over. */
static void bounce_end(struct blk_engine *engine, int status)
{
	struct blk_operation *operation = engine->bounced;

	engine->bounced = NULL;
	engine->exclusive = false;
	engine->bounce_due = false;
	engine->done(engine->opaque, operation, status);
}

/* Begins a piece of the operation that has the buffer, as soon as it may. */
static void bounce_begin(struct blk_engine *engine)
{
	struct blk_operation *operation = engine->bounced;
	int status;

	engine->exclusive = blk_bounce_excludes(&engine->access, operation);
	engine->bounce_due = engine->exclusive && engine->changes;
	if (engine->bounce_due)
		return;
	status = blk_bounce_begin(&engine->bounce, &engine->access, operation);
	if (status == 0)
		call_add(engine, operation);
	else
		bounce_end(engine, status);
}

/* Gives the buffer to the next operation that waits for it. */
static void bounce_next(struct blk_engine *engine)
{
	while (!engine->bounced && !STAILQ_EMPTY(&engine->to_bounce)) {
		engine->bounced = take_first(&engine->to_bounce);
		bounce_begin(engine);
	}
}

static void bounce_add(struct blk_engine *engine, struct blk_operation *operation)
{
	STAILQ_INSERT_TAIL(&engine->to_bounce, operation, next);
	bounce_next(engine);
}

static void operation_start(struct blk_engine *engine, struct blk_operation *operation)
{
	if (engine->exclusive && changes_file(operation)) {
		STAILQ_INSERT_TAIL(&engine->held, operation, next);
		return;
	}
	if (!call_prepare(engine, operation))
		engine->done(engine->opaque, operation, 0);
	else if (operation->writes_zeroes && engine->access.direct &&
		 blk_bounce_needed(&engine->access, operation))
		bounce_add(engine, operation);
	else
		call_add(engine, operation);
}

void blk_engine_add(struct blk_engine *engine, struct blk_operation *operation)
{
	operation->tries = 0;
	operation->writes_zeroes = false;
	if (operation_inline(engine, operation))
		return;
	if (engine->access.direct && blk_bounce_needed(&engine->access, operation))
		bounce_add(engine, operation);
	else
		operation_start(engine, operation);
}

/* Whether the call may be made again, in another form or as it was. */
static bool call_again(struct blk_engine *engine, struct blk_operation *operation, int result)
{
	bool range = operation->call.kind == BLK_CALL_PUNCH ||
		     operation->call.kind == BLK_CALL_ZERO;

	if ((result == -EINTR || result == -EAGAIN) && operation->tries++ < TRIES_MAX) {
		call_add(engine, operation);
		return true;
	}
	if (!range ||
	    (result != -EOPNOTSUPP && result != -ENOSYS && result != -EINVAL && result != -ENODEV))
		return false;
	/* The file does not support this call, and never will. */
	if (operation->call.kind == BLK_CALL_PUNCH)
		engine->access.no_punch = true;
	else
		engine->access.no_zero = true;
	operation_start(engine, operation);
	return true;
}

/* Whether @operation is over, with *@status; otherwise it is under way again. */
static bool operation_over(struct blk_engine *engine, struct blk_operation *operation, int *status)
{
	int result = operation->call.result;

	*status = result < 0 ? result : 0;
	if (result < 0)
		return !call_again(engine, operation, result);
	if (operation->call.kind != BLK_CALL_READ && operation->call.kind != BLK_CALL_WRITE)
		return true;
	if (result == 0) {
		*status = -EIO; /* the file ends before the disk does: somebody truncated it */
		return true;
	}
	if (operation->writes_zeroes) {
		operation->offset += (uint64_t)result;
		operation->length -= (uint64_t)result;
	} else {
		blk_operation_advance(operation, (uint64_t)result);
	}
	if (operation->length == 0)
		return true;
	/* Short: the next call shows whether the end of the file or of the device was reached. */
	operation_start(engine, operation);
	return false;
}

/* Handles the @result of a call for the operation that has the buffer. */
static void bounce_continue(struct blk_engine *engine, struct blk_operation *operation, int result)
{
	int status = result;

	if ((result == -EINTR || result == -EAGAIN) && operation->tries++ < TRIES_MAX) {
		call_add(engine, operation);
		return;
	}
	if (result >= 0)
		status = blk_bounce_continue(&engine->bounce, operation, result);
	if (status > 0)
		call_add(engine, operation);
	else if (status == 0 && operation->length)
		bounce_begin(engine);
	else
		bounce_end(engine, status);
}

static void call_completed(struct blk_engine *engine, struct blk_call *call)
{
	struct blk_operation *operation = container_of(call, struct blk_operation, call);
	int status;

	if (call_waits(engine, call))
		return;
	engine->under_way--;
	engine->changes -= changes_file(operation);
	if (operation == engine->bounced)
		bounce_continue(engine, operation, call->result);
	else if (operation_over(engine, operation, &status))
		engine->done(engine->opaque, operation, status);
	if (engine->bounced && engine->bounce_due)
		bounce_begin(engine);
	while (!engine->exclusive && !STAILQ_EMPTY(&engine->held))
		operation_start(engine, take_first(&engine->held));
	bounce_next(engine);
}

/* Completes what is ready, and begins what was added. False: call it again. */
static bool backend_turn(struct blk_engine *engine, struct blk_backend *backend)
{
	struct blk_call *call;

	while ((call = backend->ops->next(backend)))
		call_completed(engine, call);
	/* The rest of short transfers. */
	return backend->ops->submit(backend);
}

bool blk_engine_reap(struct blk_engine *engine)
{
	bool all = !engine->ring || backend_turn(engine, engine->ring);

	/* After the ring, which leaves calls for the threads. */
	return backend_turn(engine, engine->threads) && all;
}

bool blk_engine_submit(struct blk_engine *engine)
{
	if (engine->ring)
		engine->ring->ops->submit(engine->ring);
	return blk_engine_reap(engine);
}

bool blk_engine_busy(const struct blk_engine *engine)
{
	return engine->under_way || engine->bounced || !STAILQ_EMPTY(&engine->to_bounce) ||
	       !STAILQ_EMPTY(&engine->held);
}

void blk_engine_wait(struct blk_engine *engine, unsigned ms)
{
	struct pollfd ready[BLK_ENGINE_FDS];
	int fds[BLK_ENGINE_FDS];
	unsigned count = blk_engine_fds(engine, fds);

	for (unsigned i = 0; i < count; i++)
		ready[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
	blk_engine_submit(engine);
	if (blk_engine_busy(engine) && ms && poll(ready, count, (int)ms) > 0)
		blk_engine_reap(engine);
}
