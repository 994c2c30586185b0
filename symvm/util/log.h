/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Leveled log of one VM, to standard error or a file. Each line begins with the time (RFC 3339,
 * UTC, milliseconds) and the VM's name, so that VMs can share a file:
 *
 *   2026-11-30T16:45:01.123Z web symvm: warn: disk0: ...
 *
 * A message is one row, whatever it quotes (util/text.h). The log never holds up its writer: a
 * thread of its own writes to a file (util/file_writer.h). A line that a full pipe, terminal or
 * disk does not take is counted, and so is one for which a disk that hangs left no room. The next
 * line that is written says how many were lost. Messages that a hostile guest can cause again and
 * again go through log_limited(), which bounds them.
 */
#ifndef SYMVM_UTIL_LOG_H
#define SYMVM_UTIL_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"
#include "util/log_limit.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

struct reopen;
struct log_file;

struct log {
	int fd;
	_Atomic int level;
	struct log_limit limit; /* of log_limited() */
	_Atomic uint32_t lost;	/* lines that could not be written since the last one that was */
	char name[64];		/* the VM's; empty before it is known */
	struct reopen *reopen;	/* files that are reopened on SIGUSR1; may be NULL */
	struct log_file *file;	/* what its copies share if a thread writes; else NULL */
	bool may_block;		/* the descriptor could not be reopened as one of our own */
};

/* Sets up @log to write to @fd (not owned), up to @level. */
void log_init(struct log *log, int fd, enum log_level level);

/* Sets the VM's @name. Before other threads use the log. */
void log_set_name(struct log *log, const char *name);

/*
 * Prepares a thread that writes, if the log is a regular file. Copies of @log made afterwards use
 * it, too. -ENOMEM. Main thread.
 */
int log_file_open(struct log *log);
/* Starts that thread, if there is to be one; @enter as for file_writer_start(). Main thread. */
int log_file_start(struct log *log, int (*enter)(void *opaque, struct error *err), void *opaque,
		   struct error *err);
/* Waits until the file has all lines so far, at most @ms. Any thread. */
void log_file_flush(struct log *log, unsigned ms);
/*
 * Ends the thread. True if the file has all lines. Otherwise its disk hangs: the descriptor must
 * stay open, and later lines are lost. Main thread, when no copy of @log is used any more.
 */
bool log_file_close(struct log *log);

/* Parses "error", "warn", "info" or "debug"; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *level);

/* Writes one line. Any thread; a write(2) has whole lines, so lines do not mix. Does not wait. */
void log_write(struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Like log_write(), but bounded for each @format: 10 lines in a second and 1 MiB in a day
 * (log_limit.h). The next line that is written says how many like it were left out.
 */
void log_limited(struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_write(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(log, ...)  log_write(log, LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(log, ...)  log_write(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_write(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
