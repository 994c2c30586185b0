/* SPDX-License-Identifier: BSD-2-Clause */
/* Elapsed time, and points in time to wait for. Any thread. */
#ifndef SYMVM_UTIL_CLOCK_H
#define SYMVM_UTIL_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_MS     1000000ull
#define NS_PER_SECOND 1000000000ull

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* @ns of any clock as pthread_cond_timedwait() and others expect it. */
static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_SECOND),
		.tv_nsec = (long)(ns % NS_PER_SECOND),
	};
}

/*
 * A condition whose timed waits are on CLOCK_MONOTONIC. All timed waits here are: a change of the
 * host's time must neither cut nor lengthen one.
 */
static inline void clock_condition_init(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* @ms from now on @clock: the one that the condition was made with. */
static inline struct timespec clock_deadline(clockid_t clock, uint64_t ms)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return clock_timespec((uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec +
			      ms * NS_PER_MS);
}

static inline bool clock_is_before(const struct timespec *left, const struct timespec *right)
{
	return left->tv_sec != right->tv_sec ? left->tv_sec < right->tv_sec
					     : left->tv_nsec < right->tv_nsec;
}

#endif
