/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function that the VMM interrupts: it runs on a stack of its own, on the vCPU's thread. It can
 * hand the thread back in its middle, and continues when the thread comes again.
 *
 *	start ------> function ------ ends -------> start/resume returns true
 *	                 | coroutine_yield()
 *	                 v
 *	        start/resume returns false;  resume ---> yield returns
 *
 * All functions: the thread of one vCPU.
 */
#ifndef PRELOAD_COROUTINE_H
#define PRELOAD_COROUTINE_H

#include <stdbool.h>
#include <ucontext.h>

struct coroutine {
	ucontext_t caller, inner;
	void *stack; /* NULL until the first start; then kept */
	void (*function)(void *argument);
	void *argument;
	bool active; /* started, and not ended */
};

/* Runs @function(@argument) until it ends or yields: 1 it ended, 0 it yielded. -ENOMEM. */
int coroutine_start(struct coroutine *coroutine, void (*function)(void *argument), void *argument);
/* Continues an active one: the same results. */
int coroutine_resume(struct coroutine *coroutine);
/* Called by the function itself. */
void coroutine_yield(struct coroutine *coroutine);

#endif
