// SPDX-License-Identifier: BSD-2-Clause
#include "util/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(struct log *log, int fd, enum log_level level)
{
	memset(log, 0, sizeof(*log));
	log->fd = fd;
	log->prefix = "symvm";
	atomic_store(&log->level, level);
}

int log_level_parse(const char *text, enum log_level *level)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void write_line(struct log *log, enum log_level level, const char *format, va_list args)
{
	char line[1024];
	int used, more;

	used = snprintf(line, sizeof(line), "%s: %s: ", log->prefix, level_names[level]);
	more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
	if (more < 0)
		return;
	used += more;
	if ((size_t)used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used++] = '\n';
	/* A log line that cannot be written has nowhere to be reported. */
	if (write(log->fd, line, (size_t)used) < 0)
		return;
}

void log_write(struct log *log, enum log_level level, const char *format, ...)
{
	va_list args;

	if ((int)level > atomic_load_explicit(&log->level, memory_order_relaxed))
		return;
	va_start(args, format);
	write_line(log, level, format, args);
	va_end(args);
}

void log_limited(struct log *log, enum log_level level, const char *format, ...)
{
	struct log_source *source;
	enum log_verdict verdict;
	struct timespec now;
	uint32_t dropped;
	va_list args;
	int length;

	if ((int)level > atomic_load_explicit(&log->level, memory_order_relaxed))
		return;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	source = log_limit_find(&log->limit, format);
	verdict = log_limit_take(source, (uint64_t)now.tv_sec, length > 0 ? (size_t)length : 0);
	if (verdict == LOG_VERDICT_DROP)
		return;
	dropped = atomic_exchange(&source->dropped, 0);
	if (dropped)
		log_write(log, level, "%u lines like the next one were left out", dropped);
	va_start(args, format);
	write_line(log, level, format, args);
	va_end(args);
	if (verdict == LOG_VERDICT_LAST)
		log_write(log, level, "lines like the last one are left out for a day");
}
