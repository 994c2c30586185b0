/* SPDX-License-Identifier: BSD-2-Clause */
/* Time, for the files of libguestview. */
#ifndef GUESTVIEW_GUEST_CLOCK_H
#define GUESTVIEW_GUEST_CLOCK_H

#include <stdint.h>
#include <time.h>

#define GUEST_NS_PER_MS 1000000ull

/* Nanoseconds of CLOCK_MONOTONIC. Any thread. */
static inline uint64_t guest_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Sleeps for @ns, less than a second; a signal may cut it short. */
static inline void guest_sleep_ns(long ns)
{
	const struct timespec pause = {.tv_nsec = ns};

	nanosleep(&pause, NULL);
}

#endif
