/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An epoll event loop that one thread runs. A VM has two: the I/O loop, where
 * device back ends live, and the main loop (control socket, signals, lifecycle).
 */
#ifndef SYMVM_UTIL_EVENT_LOOP_H
#define SYMVM_UTIL_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_loop;
struct event_source;

/* Called on the loop's thread with the EPOLL* bits that are ready. */
typedef void (*event_callback)(void *opaque, uint32_t events);
/* A function posted to the loop's thread. */
typedef void (*event_function)(void *opaque);

/* Creates a loop; owned by the caller. -errno on failure. Any thread. */
int event_loop_create(struct event_loop **loop);
/* Frees the loop and all its sources; their fds are not closed. No thread may run it. */
void event_loop_destroy(struct event_loop *loop);

/*
 * Watches @fd (not owned; must outlive the source) for @events (EPOLLIN, ...),
 * level triggered. Any thread. Returns NULL when out of memory or fds.
 */
struct event_source *event_loop_add(struct event_loop *loop, int fd, uint32_t events,
				    event_callback callback, void *opaque);
/* Changes what is watched; 0 watches nothing. Any thread. -errno on failure. */
int event_source_modify(struct event_source *source, uint32_t events);
/*
 * Ends the watch and frees @source. Any thread: once it returns, the callback
 * neither runs nor will run (except when called from within the callback itself).
 * The caller must not hold a lock that the callback takes.
 */
void event_source_remove(struct event_source *source);

/* Runs @function(@opaque) on the loop's thread, later. Any thread. -ENOMEM. */
int event_loop_post(struct event_loop *loop, event_function function, void *opaque);
/*
 * Runs @function(@opaque) on the loop's thread and waits for its end; runs it
 * directly when called on that thread, or when no thread runs the loop.
 * The caller must not hold a lock that the loop's callbacks take.
 */
int event_loop_call(struct event_loop *loop, event_function function, void *opaque);

/* Runs the loop on the calling thread until event_loop_quit(). */
void event_loop_run(struct event_loop *loop);
/* Asks the loop to end, now or when it starts. Any thread. Async-signal-safe. */
void event_loop_quit(struct event_loop *loop);

#endif
