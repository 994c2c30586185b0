/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much a guest can make the log grow. Each kind of message, named by its format string, is a
 * source with bounds of its own: lines in a second and bytes in a day. So one source that makes
 * noise neither hides the messages of another nor fills the disk. Lock-free; any thread.
 */
#ifndef SYMVM_UTIL_LOG_LIMIT_H
#define SYMVM_UTIL_LOG_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_SOURCES	     64u /* the last one is shared by all formats that find no free one */
#define LOG_LINES_PER_SECOND 10u
#define LOG_BYTES_PER_DAY    (1u << 20)
#define LOG_SECONDS_PER_DAY  86400u
#define LOG_LINE_OVERHEAD    80u /* bytes in front of a message, about */

struct log_source {
	_Atomic(const char *) format; /* NULL: free */
	_Atomic uint64_t second;      /* that @lines counts */
	_Atomic uint32_t lines;
	_Atomic uint64_t day; /* that @bytes counts */
	_Atomic uint64_t bytes;
	_Atomic uint32_t dropped; /* since the last line that was written */
};

struct log_limit {
	struct log_source sources[LOG_SOURCES];
};

enum log_verdict {
	LOG_VERDICT_WRITE,
	LOG_VERDICT_LAST, /* write it; nothing more of this source today */
	LOG_VERDICT_DROP,
};

static inline struct log_source *log_limit_find(struct log_limit *limit, const char *format)
{
	for (unsigned i = 0; i < LOG_SOURCES - 1; i++) {
		struct log_source *source = &limit->sources[i];
		const char *taken = NULL;

		if (atomic_compare_exchange_strong(&source->format, &taken, format) ||
		    taken == format)
			return source;
	}
	return &limit->sources[LOG_SOURCES - 1];
}

/*
 * Whether @source may write a message of @length bytes at @seconds (CLOCK_MONOTONIC, so that no
 * change of the host's time opens or closes the log). Counts it.
 */
static inline enum log_verdict log_limit_take(struct log_source *source, uint64_t seconds,
					      size_t length)
{
	uint64_t second = seconds + 1, day = seconds / LOG_SECONDS_PER_DAY + 1, old, used;

	/* 0 stands for "never"; the thread that changes a window clears its count. */
	old = atomic_load(&source->second);
	if (old != second && atomic_compare_exchange_strong(&source->second, &old, second))
		atomic_store(&source->lines, 0);
	old = atomic_load(&source->day);
	if (old != day && atomic_compare_exchange_strong(&source->day, &old, day))
		atomic_store(&source->bytes, 0);
	if (atomic_load(&source->bytes) >= LOG_BYTES_PER_DAY ||
	    atomic_fetch_add(&source->lines, 1) >= LOG_LINES_PER_SECOND) {
		atomic_fetch_add(&source->dropped, 1);
		return LOG_VERDICT_DROP;
	}
	used = atomic_fetch_add(&source->bytes, length + LOG_LINE_OVERHEAD);
	return used < LOG_BYTES_PER_DAY && used + length + LOG_LINE_OVERHEAD >= LOG_BYTES_PER_DAY
		       ? LOG_VERDICT_LAST
		       : LOG_VERDICT_WRITE;
}

#endif
