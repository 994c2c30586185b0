/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that waits only for a deadline, signals and short functions. Once armed it ends the
 * process in time, whatever the other threads wait for. It also receives signals while the main
 * loop is stuck. It takes no lock that other code holds.
 */
#ifndef SYMVM_UTIL_WATCHDOG_H
#define SYMVM_UTIL_WATCHDOG_H

#include <stdint.h>

struct watchdog;

struct watchdog_config {
	/* The deadline has passed: called once, on the watchdog's thread. It must end the process
	 * by _exit(), and must neither wait without a limit nor take locks that are held during
	 * waits. @phase: the last watchdog_phase(). */
	void (*expired)(void *opaque, const char *phase);
	/* A signal arrived at @signal_fd. On the watchdog's thread; must not wait. */
	void (*signalled)(void *opaque, unsigned signal);
	void *opaque;
	int signal_fd; /* a signalfd, not owned, or -1 */
};

/* Starts the thread, which inherits the signal mask. -errno. Any thread. */
int watchdog_create(const struct watchdog_config *config, struct watchdog **watchdog);
/* Ends the thread; @expired is not called any more, unless it runs already. NULL is allowed. */
void watchdog_destroy(struct watchdog *watchdog);

/* Runs @function(@opaque) on its thread, waits for it and returns its result (jail). One caller at
 * a time. */
int watchdog_call(struct watchdog *watchdog, int (*function)(void *opaque), void *opaque);

/*
 * The process must end within @ms; the earliest such deadline counts. Lock-free, and
 * async-signal-safe. Any thread.
 */
void watchdog_arm(struct watchdog *watchdog, uint64_t ms);
/*
 * Names the work under way, for the last message: a literal, or NULL. @watchdog may be NULL, too.
 * Any thread.
 */
void watchdog_phase(struct watchdog *watchdog, const char *phase);

#endif
