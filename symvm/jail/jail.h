/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each thread of a running VMM may still do: no new privileges, a seccomp
 * filter for the kind of thread, and landlock over the file system. All files are open and all
 * devices made by then; a guest that takes over a thread gets that thread's
 * few system calls and no path to open.
 */
#ifndef SYMVM_JAIL_JAIL_H
#define SYMVM_JAIL_JAIL_H

#include "util/error.h"
#include "util/log.h"

enum jail_mode {
	JAIL_OFF,
	JAIL_ON,   /* a call outside of the list kills the process (SIGSYS) */
	JAIL_LOG,  /* it goes through, and the kernel's log names it: for development */
	JAIL_TRAP, /* it is refused, and one line on standard error names it before the process
		    * ends: for development */
};

/* A kind of thread; each has its own list of system calls (jail/rules.c). */
enum jail_thread {
	JAIL_THREAD_VCPU,
	JAIL_THREAD_IO,	    /* device back ends */
	JAIL_THREAD_MAIN,   /* control socket, lifecycle, tear-down */
	JAIL_THREAD_WORKER, /* control commands and services that may wait */
	JAIL_THREAD_SWAP,   /* slot stores: missing pages, scan, spill */
	JAIL_THREAD_COUNT,
};

struct jail;

/*
 * Makes all filters ready, so that entering costs a thread one system call or
 * two. @state_fd is the directory in which the main thread will unlink its socket, or -1. Main
 * thread, after all devices are made. JAIL_OFF, or a build with a sanitizer (which
 * needs calls of its own), gives *@jail == NULL, which all below accept.
 * -EOPNOTSUPP where the host's kernel has no seccomp filters.
 */
int jail_create(enum jail_mode mode, int state_fd, struct log *log, struct jail **jail,
		struct error *err);
/* Frees the filters; threads stay in theirs. */
void jail_destroy(struct jail *jail);

/*
 * Puts the calling thread, for ever, into the jail of its kind. To be called by each thread
 * before the first guest instruction. @jail may be NULL: nothing happens.
 */
int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err);

/* Parses "on", "off", "log" or "trap"; -EINVAL otherwise. */
int jail_mode_parse(const char *text, enum jail_mode *mode);

#endif
