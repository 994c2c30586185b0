// SPDX-License-Identifier: BSD-2-Clause
/*
 * System calls on a disk's file by a few threads, for hosts without io_uring (off by sysctl, or by
 * a container's seccomp filter).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_backend.h"
#include "jail/jail.h"
#include "util/container_of.h"

#define POOL_THREADS 4u

struct blk_pool {
	struct blk_backend backend;
	int file;
	struct jail *jail;
	pthread_t threads[POOL_THREADS];
	unsigned started;

	pthread_mutex_t lock; /* guards the members below */
	pthread_cond_t changed;
	struct blk_calls wanted, completed;
	unsigned jailed; /* so many threads are in the jail */
	int status;	 /* why a thread could not enter it */
	struct error *err;
	bool quit;
};

/* The first of @calls, or NULL. */
static struct blk_call *calls_take(struct blk_calls *calls)
{
	struct blk_call *call = STAILQ_FIRST(calls);

	if (call)
		STAILQ_REMOVE_HEAD(calls, next);
	return call;
}

int blk_call_run(int file, const struct blk_call *call)
{
	int mode = call->kind == BLK_CALL_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	ssize_t result;

	switch (call->kind) {
	case BLK_CALL_READ:
		result = preadv(file, call->iov, (int)call->count, (off_t)call->offset);
		break;
	case BLK_CALL_WRITE:
		result = pwritev(file, call->iov, (int)call->count, (off_t)call->offset);
		break;
	case BLK_CALL_SYNC:
		result = fdatasync(file);
		break;
	default:
		result = fallocate(file, mode | FALLOC_FL_KEEP_SIZE, (off_t)call->offset,
				   (off_t)call->length);
		break;
	}
	return result < 0 ? -errno : (int)result;
}

/* Runs calls until the pool ends. The lock is held. */
static void serve(struct blk_pool *pool)
{
	const uint64_t one = 1;

	for (;;) {
		struct blk_call *call = calls_take(&pool->wanted);

		if (!call && pool->quit)
			return;
		if (!call) {
			pthread_cond_wait(&pool->changed, &pool->lock);
			continue;
		}
		pthread_mutex_unlock(&pool->lock);
		call->result = blk_call_run(pool->file, call);
		pthread_mutex_lock(&pool->lock);
		STAILQ_INSERT_TAIL(&pool->completed, call, next);
		/* If the counter is full, the loop is woken anyway. */
		if (write(pool->backend.fd, &one, sizeof(one)) < 0)
			continue;
	}
}

static void *pool_thread(void *opaque)
{
	struct blk_pool *pool = opaque;
	struct error err;
	int status;

	pthread_setname_np(pthread_self(), "disk");
	/* The same jail as the threads that spill: they make calls on an open file. */
	status = jail_enter_thread(pool->jail, JAIL_THREAD_SWAP, &err);
	pthread_mutex_lock(&pool->lock);
	if (status < 0 && pool->status == 0) {
		pool->status = status;
		error_set(pool->err, status, "disk: %s", err.text);
	}
	pool->jailed++;
	pthread_cond_broadcast(&pool->changed);
	if (status == 0)
		serve(pool);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static struct blk_pool *to_pool(struct blk_backend *backend)
{
	return container_of(backend, struct blk_pool, backend);
}

static int pool_start(struct blk_backend *backend, struct jail *jail, struct error *err)
{
	struct blk_pool *pool = to_pool(backend);
	int status = 0;

	pool->jail = jail;
	pool->err = err;
	while (pool->started < POOL_THREADS && status == 0) {
		status = -pthread_create(&pool->threads[pool->started], NULL, pool_thread, pool);
		if (status < 0)
			error_set_errno(err, status, "disk: pthread_create");
		else
			pool->started++;
	}
	pthread_mutex_lock(&pool->lock);
	while (pool->jailed < pool->started)
		pthread_cond_wait(&pool->changed, &pool->lock);
	if (status == 0)
		status = pool->status;
	pthread_mutex_unlock(&pool->lock);
	return status;
}

static void pool_add(struct blk_backend *backend, struct blk_call *call)
{
	struct blk_pool *pool = to_pool(backend);

	pthread_mutex_lock(&pool->lock);
	STAILQ_INSERT_TAIL(&pool->wanted, call, next);
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
}

static bool pool_submit(struct blk_backend *backend)
{
	return true;
}

static struct blk_call *pool_next(struct blk_backend *backend)
{
	struct blk_pool *pool = to_pool(backend);
	struct blk_call *call;
	uint64_t count;

	pthread_mutex_lock(&pool->lock);
	call = calls_take(&pool->completed);
	/* No call is left: the next one that completes signals again. */
	if (!call && read(backend->fd, &count, sizeof(count)) < 0)
		call = NULL;
	pthread_mutex_unlock(&pool->lock);
	return call;
}

static void pool_destroy(struct blk_backend *backend)
{
	struct blk_pool *pool = to_pool(backend);

	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->started; i++)
		pthread_join(pool->threads[i], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->changed);
	close(backend->fd);
	free(pool);
}

static const struct blk_backend_ops pool_ops = {
	.add = pool_add,
	.submit = pool_submit,
	.next = pool_next,
	.start = pool_start,
	.destroy = pool_destroy,
};

int blk_pool_create(int file, struct blk_backend **backend)
{
	struct blk_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return -ENOMEM;
	pool->backend.ops = &pool_ops;
	pool->backend.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->backend.fd < 0) {
		int status = -errno;

		free(pool);
		return status;
	}
	pool->file = file;
	STAILQ_INIT(&pool->wanted);
	STAILQ_INIT(&pool->completed);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	*backend = &pool->backend;
	return 0;
}
