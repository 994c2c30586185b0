/* SPDX-License-Identifier: BSD-2-Clause */
/* Counts the exits of a VM for a time, by the guest's task that caused each (exit_tally.h). */
#ifndef SYMVM_SERVICES_EXITS_H
#define SYMVM_SERVICES_EXITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "services/exit_tally.h"
#include "util/error.h"
#include "util/wait_limit.h"

struct vm;

#define EXITS_WATCHES_MAX 2u  /* at a time in one VM; each keeps a worker thread */
#define EXITS_SAMPLE_MS	  20u /* between two samples of each vCPU, for HLT and INTERRUPT */

struct exits_totals {
	_Atomic uint64_t seen;	 /* exits of this kind */
	_Atomic uint64_t asked;	 /* those of the sample */
	_Atomic uint64_t failed; /* those of the sample at which the guest could not be asked */
};

struct exits_watch {
	unsigned kinds;				/* a set of 1 << EXIT_KIND_... */
	bool stack;				/* ask for kernel stacks, too */
	unsigned percent;			/* of the exits, chosen at random, 1 to 100 */
	uint64_t end_ns;			/* CLOCK_MONOTONIC */
	struct exit_tally *tally;		/* the caller's, empty; receives the rows */
	struct exits_totals totals[EXIT_KINDS]; /* all 0; receives the sums */
};

/* The name of a kind: "io", "mmio", "doorbell", "hlt", "interrupt". Static. Any thread. */
const char *exits_kind_name(enum exit_kind kind);

/*
 * Watches until watch->end_ns, exits_watches_end() or the end of @limit, and returns 0 with what
 * was counted. A pause or a reset of the VM does not end it. With EXIT_KIND_DOORBELL the VM's
 * doorbells are caught meanwhile (machine/doorbell.h). HLT and INTERRUPT are samples, whatever the
 * percentage: each vCPU is interrupted every EXITS_SAMPLE_MS, and the sample is of kind HLT if it
 * was halted. Worker threads. -EBUSY: EXITS_WATCHES_MAX watches are under way, or the VM is paused
 * at the start; -ESHUTDOWN: the VM has ended; -EOPNOTSUPP: it runs without the symbiotic interface;
 * -ENOSPC: too many observers of exits. All with words.
 */
int exits_watch_run(struct vm *vm, struct exits_watch *watch, const struct wait_limit *limit,
		    struct error *err);

/* Ends the watches under way soon, as if their time were over. Does not wait. Any thread. */
void exits_watches_end(struct vm *vm);

#endif
