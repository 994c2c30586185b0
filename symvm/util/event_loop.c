// SPDX-License-Identifier: BSD-2-Clause
#include "util/event_loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOP_BATCH 32

struct event_source {
	struct event_loop *loop;
	int fd;
	event_callback callback;
	void *opaque;
	bool removed;
	struct event_source *next; /* in loop->sources or loop->graveyard */
};

struct posted {
	event_function function;
	void *opaque;
	struct posted *next;
};

struct event_loop {
	int epoll_fd;
	int wake_fd;
	_Atomic bool quit;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* a callback ended */
	bool running;
	unsigned calls;	 /* posted by event_loop_call(), and not taken yet */
	unsigned direct; /* event_loop_call() without a running loop: the loop starts after these */
	pthread_t thread;	   /* valid while running */
	struct event_source *busy; /* whose callback runs now */
	struct event_source *sources;
	struct event_source *graveyard; /* removed; freed once no batch may name them */
	struct posted *posts;
	struct posted **posts_tail;
};

int event_loop_create(struct event_loop **out)
{
	struct event_loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int status;

	if (!loop)
		return -ENOMEM;
	loop->posts_tail = &loop->posts;
	loop->wake_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0)
		loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
		status = -errno;
		if (loop->epoll_fd >= 0)
			close(loop->epoll_fd);
		if (loop->wake_fd >= 0)
			close(loop->wake_fd);
		free(loop);
		return status;
	}
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->idle, NULL);
	*out = loop;
	return 0;
}

static void free_sources(struct event_source *source)
{
	while (source) {
		struct event_source *next = source->next;

		free(source);
		source = next;
	}
}

void event_loop_destroy(struct event_loop *loop)
{
	if (!loop)
		return;
	free_sources(loop->sources);
	free_sources(loop->graveyard);
	while (loop->posts) {
		struct posted *next = loop->posts->next;

		free(loop->posts);
		loop->posts = next;
	}
	close(loop->epoll_fd);
	close(loop->wake_fd);
	pthread_mutex_destroy(&loop->lock);
	pthread_cond_destroy(&loop->idle);
	free(loop);
}

static void loop_wake(struct event_loop *loop)
{
	uint64_t one = 1;

	/* A full counter means that the loop is already awake. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

struct event_source *event_loop_add(struct event_loop *loop, int fd, uint32_t events,
				    event_callback callback, void *opaque)
{
	struct event_source *source = calloc(1, sizeof(*source));
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (!source)
		return NULL;
	source->loop = loop;
	source->fd = fd;
	source->callback = callback;
	source->opaque = opaque;
	pthread_mutex_lock(&loop->lock);
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		pthread_mutex_unlock(&loop->lock);
		free(source);
		return NULL;
	}
	source->next = loop->sources;
	loop->sources = source;
	pthread_mutex_unlock(&loop->lock);
	return source;
}

int event_source_modify(struct event_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) < 0)
		return -errno;
	return 0;
}

static bool on_loop_thread(struct event_loop *loop)
{
	return loop->running && pthread_equal(loop->thread, pthread_self());
}

void event_source_remove(struct event_source *source)
{
	struct event_loop *loop;
	struct event_source **link;

	if (!source)
		return;
	loop = source->loop;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	pthread_mutex_lock(&loop->lock);
	for (link = &loop->sources; *link != source; link = &(*link)->next)
		;
	*link = source->next;
	source->removed = true;
	while (loop->busy == source && !on_loop_thread(loop))
		pthread_cond_wait(&loop->idle, &loop->lock);
	if (loop->running) {
		/* The batch that the loop works on may still name it. */
		source->next = loop->graveyard;
		loop->graveyard = source;
	} else {
		free(source);
	}
	pthread_mutex_unlock(&loop->lock);
}

static struct posted *posted_create(event_function function, void *opaque)
{
	struct posted *posted = malloc(sizeof(*posted));

	if (posted)
		*posted = (struct posted){.function = function, .opaque = opaque};
	return posted;
}

/* The lock is held. */
static void posted_append(struct event_loop *loop, struct posted *posted)
{
	*loop->posts_tail = posted;
	loop->posts_tail = &posted->next;
}

int event_loop_post(struct event_loop *loop, event_function function, void *opaque)
{
	struct posted *posted = posted_create(function, opaque);

	if (!posted)
		return -ENOMEM;
	pthread_mutex_lock(&loop->lock);
	posted_append(loop, posted);
	pthread_mutex_unlock(&loop->lock);
	loop_wake(loop);
	return 0;
}

struct waited {
	event_function function;
	void *opaque;
	pthread_mutex_t lock;
	pthread_cond_t done_changed;
	bool done;
};

static void run_waited(void *opaque)
{
	struct waited *waited = opaque;

	waited->function(waited->opaque);
	pthread_mutex_lock(&waited->lock);
	waited->done = true;
	pthread_cond_signal(&waited->done_changed);
	pthread_mutex_unlock(&waited->lock);
}

int event_loop_call(struct event_loop *loop, event_function function, void *opaque)
{
	struct waited waited = {
		.function = function,
		.opaque = opaque,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done_changed = PTHREAD_COND_INITIALIZER,
	};
	struct posted *posted = posted_create(run_waited, &waited);
	bool direct;

	if (!posted)
		return -ENOMEM;
	/* In one step with the post: the loop ends only if no thread waits. */
	pthread_mutex_lock(&loop->lock);
	direct = !loop->running || on_loop_thread(loop);
	loop->direct += direct;
	if (!direct) {
		posted_append(loop, posted);
		loop->calls++;
	}
	pthread_mutex_unlock(&loop->lock);
	if (direct) {
		free(posted);
		function(opaque);
		pthread_mutex_lock(&loop->lock);
		loop->direct--;
		pthread_cond_broadcast(&loop->idle);
		pthread_mutex_unlock(&loop->lock);
		return 0;
	}
	loop_wake(loop);
	pthread_mutex_lock(&waited.lock);
	while (!waited.done)
		pthread_cond_wait(&waited.done_changed, &waited.lock);
	pthread_mutex_unlock(&waited.lock);
	return 0;
}

static void run_posts(struct event_loop *loop)
{
	struct posted *posts;
	uint64_t count;

	if (read(loop->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&loop->lock);
	posts = loop->posts;
	loop->calls = 0;
	loop->posts = NULL;
	loop->posts_tail = &loop->posts;
	pthread_mutex_unlock(&loop->lock);
	while (posts) {
		struct posted *next = posts->next;

		posts->function(posts->opaque);
		free(posts);
		posts = next;
	}
}

/*
 * A thread in event_loop_call() must not wait for ever. The loop counts as running until no thread
 * waits: otherwise another thread would run a function directly while one runs here.
 */
static void loop_end(struct event_loop *loop)
{
	run_posts(loop);
	pthread_mutex_lock(&loop->lock);
	/* Not until nothing is posted at all: a function may post itself again and again. */
	while (loop->calls) {
		pthread_mutex_unlock(&loop->lock);
		run_posts(loop);
		pthread_mutex_lock(&loop->lock);
	}
	loop->running = false;
	pthread_mutex_unlock(&loop->lock);
}

static void run_source(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	pthread_mutex_lock(&loop->lock);
	if (source->removed) {
		pthread_mutex_unlock(&loop->lock);
		return;
	}
	loop->busy = source;
	pthread_mutex_unlock(&loop->lock);
	source->callback(source->opaque, events);
	pthread_mutex_lock(&loop->lock);
	loop->busy = NULL;
	pthread_cond_broadcast(&loop->idle);
	pthread_mutex_unlock(&loop->lock);
}

void event_loop_run(struct event_loop *loop)
{
	struct epoll_event batch[LOOP_BATCH];
	struct event_source *dead;

	pthread_mutex_lock(&loop->lock);
	while (loop->direct)
		pthread_cond_wait(&loop->idle, &loop->lock);
	loop->thread = pthread_self();
	loop->running = true;
	pthread_mutex_unlock(&loop->lock);
	while (!atomic_load(&loop->quit)) {
		int count = epoll_wait(loop->epoll_fd, batch, LOOP_BATCH, -1);

		for (int i = 0; i < count && !atomic_load(&loop->quit); i++) {
			if (batch[i].data.ptr)
				run_source(loop, batch[i].data.ptr, batch[i].events);
			else
				run_posts(loop);
		}
		pthread_mutex_lock(&loop->lock);
		dead = loop->graveyard;
		loop->graveyard = NULL;
		pthread_mutex_unlock(&loop->lock);
		free_sources(dead);
	}
	loop_end(loop);
}

void event_loop_quit(struct event_loop *loop)
{
	atomic_store(&loop->quit, true);
	loop_wake(loop);
}
