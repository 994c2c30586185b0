/* SPDX-License-Identifier: BSD-2-Clause */
/* Waits for exits whose cause the guest has reported (libguestview/who.h). */
#ifndef SYMVM_SERVICES_WHO_H
#define SYMVM_SERVICES_WHO_H

#include <stdint.h>

#include "libguestview/who.h"
#include "machine/exit_observer.h"
#include "util/error.h"
#include "util/wait_limit.h"

struct vm;

struct who_watch {
	struct exit_match exits;     /* which exits */
	bool stack;		     /* ask for the kernel stack as well */
	unsigned count;		     /* how many, at least 1 */
	uint64_t end_ns;	     /* CLOCK_MONOTONIC: when to stop waiting */
	struct guest_who_ring *ring; /* receives the records; has room for @count. The caller's */
	unsigned missed;	     /* set: exits at which the guest could not be asked */
};

/*
 * Waits until @watch->ring has @watch->count records, @watch->end_ns has passed or @limit is over.
 * Then it returns 0, with the records received so far. Worker threads. One watch for each VM at a
 * time. -EBUSY: there is another one, or the VM is paused; -ESHUTDOWN: the VM has ended;
 * -EOPNOTSUPP: it runs without the symbiotic interface. All with words.
 */
int who_watch_wait(struct vm *vm, struct who_watch *watch, const struct wait_limit *limit,
		   struct error *err);

#endif
