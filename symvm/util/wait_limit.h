/* SPDX-License-Identifier: BSD-2-Clause */
/* A fixed end for work that waits for others, and a way for another thread to cut it short. */
#ifndef SYMVM_UTIL_WAIT_LIMIT_H
#define SYMVM_UTIL_WAIT_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/clock.h"

struct wait_limit {
	uint64_t end_ns;  /* CLOCK_MONOTONIC */
	_Atomic bool cut; /* the result is not wanted any more; set by any thread */
};

static inline void wait_limit_init(struct wait_limit *limit, uint64_t ms)
{
	limit->end_ns = clock_now_ns() + ms * NS_PER_MS;
	atomic_init(&limit->cut, false);
}

/* Milliseconds that are left, rounded up; 0: it is over, or was cut. Any thread. */
static inline uint64_t wait_limit_left_ms(const struct wait_limit *limit)
{
	uint64_t now = clock_now_ns();

	if (now >= limit->end_ns || atomic_load(&limit->cut))
		return 0;
	return (limit->end_ns - now + NS_PER_MS - 1) / NS_PER_MS;
}

static inline bool wait_limit_over(const struct wait_limit *limit)
{
	return wait_limit_left_ms(limit) == 0;
}

#endif
