/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log and console files that are reopened on SIGUSR1, after a program such as logrotate(8) has
 * renamed them. The jail allows no thread to open a file for writing, so a process outside of it
 * does. That process is forked before the jail closes, knows the paths from the start, and accepts
 * only a byte that says "now". The new file takes the number of the old one (dup3(2)), so writers
 * on other threads never meet a closed descriptor.
 */
#ifndef SYMVM_UTIL_REOPEN_H
#define SYMVM_UTIL_REOPEN_H

#include "util/error.h"

struct event_loop;
struct log;
struct reopen;

/*
 * Blocks SIGUSR1 for this thread and those that it creates. Main thread, before others. NULL: out
 * of memory.
 */
struct reopen *reopen_create(void);

/* Adds the regular file @path, open as @fd (not owned) for appending; others are left out.
 * Before reopen_start(). */
void reopen_add(struct reopen *reopen, int fd, const char *path);

/*
 * Takes SIGUSR1 on @loop from now on. Forks the process that opens, if there is a file. Main
 * thread, before the jail. Failures to open are written to @log, which must outlive it. -errno with
 * words.
 */
int reopen_start(struct reopen *reopen, struct event_loop *loop, struct log *log,
		 struct error *err);

/* NULL is fine. When the loop no longer runs. */
void reopen_destroy(struct reopen *reopen);

#endif
