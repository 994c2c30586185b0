// SPDX-License-Identifier: BSD-2-Clause
/*
 * System calls on a disk's file by threads that serve this disk alone: if the host does not answer,
 * they wait, and those of other disks continue.
 *
 * Most calls only copy memory from or to the page cache, and waking a thread takes longer than
 * that. So a thread that is awake wakes the next one, and only if it leaves calls for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_backend.h"
#include "jail/jail.h"
#include "util/container_of.h"

#define POOL_THREADS 8u

struct blk_thread {
	struct blk_pool *pool;
	pthread_t thread;
	sem_t wake;
	SLIST_ENTRY(blk_thread) next; /* of those that sleep */
};

struct blk_pool {
	struct blk_backend backend;
	int file;
	struct jail *jail;
	struct blk_thread threads[POOL_THREADS];
	unsigned started;

	pthread_mutex_t lock; /* guards the members below */
	pthread_cond_t entered;
	struct blk_calls wanted, completed;
	SLIST_HEAD(, blk_thread) asleep; /* the latest first: its CPU's caches are warm */
	unsigned looking;		 /* threads that are about to look for calls */
	bool signalled;			 /* the descriptor is readable, or will be at once */
	unsigned jailed;		 /* so many threads are in the jail */
	int status;			 /* why a thread could not enter it */
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

/*
 * The thread to be woken, or NULL: there are no calls, or one is about to look for them. The caller
 * wakes it without the lock. The lock is held.
 */
static struct blk_thread *wake_choose(struct blk_pool *pool)
{
	struct blk_thread *thread = SLIST_FIRST(&pool->asleep);

	if (!thread || pool->looking || STAILQ_EMPTY(&pool->wanted))
		return NULL;
	SLIST_REMOVE_HEAD(&pool->asleep, next);
	pool->looking++;
	return thread;
}

static void wake(struct blk_thread *thread)
{
	if (thread)
		sem_post(&thread->wake);
}

/* Sleeps until woken to look. The lock is held, except during the sleep. */
static void thread_sleep(struct blk_thread *thread)
{
	struct blk_pool *pool = thread->pool;

	SLIST_INSERT_HEAD(&pool->asleep, thread, next);
	pthread_mutex_unlock(&pool->lock);
	while (sem_wait(&thread->wake) < 0)
		; /* a signal's handler ran */
	pthread_mutex_lock(&pool->lock);
	pool->looking--;
}

/* Waits for a call. NULL: the pool ends. */
static struct blk_call *call_wait(struct blk_thread *thread)
{
	struct blk_pool *pool = thread->pool;
	struct blk_thread *more;
	struct blk_call *call;

	pthread_mutex_lock(&pool->lock);
	pool->looking--;
	while (!(call = calls_take(&pool->wanted)) && !pool->quit)
		thread_sleep(thread);
	more = wake_choose(pool);
	pthread_mutex_unlock(&pool->lock);
	wake(more);
	return call;
}

/* Hands @call back; then this thread looks for the next one. */
static void call_complete(struct blk_pool *pool, struct blk_call *call)
{
	const uint64_t one = 1;
	bool signal;

	pthread_mutex_lock(&pool->lock);
	STAILQ_INSERT_TAIL(&pool->completed, call, next);
	signal = !pool->signalled;
	pool->signalled = true;
	pool->looking++;
	pthread_mutex_unlock(&pool->lock);
	/* Without the lock, which the loop wants at once. The counter is never full. */
	if (signal && write(pool->backend.fd, &one, sizeof(one)) < 0)
		return;
}

/* Runs calls until the pool ends. */
static void serve(struct blk_thread *thread)
{
	struct blk_call *call;

	while ((call = call_wait(thread))) {
		call->result = blk_call_run(thread->pool->file, call);
		call_complete(thread->pool, call);
	}
}

static void *pool_thread(void *opaque)
{
	struct blk_thread *thread = opaque;
	struct blk_pool *pool = thread->pool;
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
	pool->looking += status == 0;
	pthread_cond_signal(&pool->entered);
	pthread_mutex_unlock(&pool->lock);
	if (status == 0)
		serve(thread);
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
		struct blk_thread *thread = &pool->threads[pool->started];

		thread->pool = pool;
		sem_init(&thread->wake, 0, 0);
		status = -pthread_create(&thread->thread, NULL, pool_thread, thread);
		if (status < 0)
			error_set_errno(err, status, "disk: pthread_create");
		else
			pool->started++;
	}
	pthread_mutex_lock(&pool->lock);
	while (pool->jailed < pool->started)
		pthread_cond_wait(&pool->entered, &pool->lock);
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
	pthread_mutex_unlock(&pool->lock);
}

static bool pool_submit(struct blk_backend *backend)
{
	struct blk_pool *pool = to_pool(backend);
	struct blk_thread *thread;

	pthread_mutex_lock(&pool->lock);
	thread = wake_choose(pool);
	pthread_mutex_unlock(&pool->lock);
	wake(thread);
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
	if (!call && pool->signalled)
		pool->signalled = read(backend->fd, &count, sizeof(count)) < 0;
	pthread_mutex_unlock(&pool->lock);
	return call;
}

static void pool_destroy(struct blk_backend *backend)
{
	struct blk_pool *pool = to_pool(backend);
	struct blk_thread *thread;

	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	SLIST_FOREACH(thread, &pool->asleep, next)
	{
		pool->looking++;
		sem_post(&thread->wake);
	}
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->started; i++)
		pthread_join(pool->threads[i].thread, NULL);
	for (unsigned i = 0; i < pool->started; i++)
		sem_destroy(&pool->threads[i].wake);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->entered);
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
	SLIST_INIT(&pool->asleep);
	pthread_cond_init(&pool->entered, NULL);
	*backend = &pool->backend;
	return 0;
}
