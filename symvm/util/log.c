// SPDX-License-Identifier: BSD-2-Clause
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/file_writer.h"
#include "util/text.h"

#define MESSAGE_MAX    1024
#define LINE_MAX_BYTES 2048 /* below PIPE_BUF: a pipe takes a line whole or not at all */

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct log_file {
	struct file_writer *writer;
	int fd;
	_Atomic uint32_t lost; /* lines that the file did not take */
};

void log_init(struct log *log, int fd, enum log_level level)
{
	struct stat status;

	memset(log, 0, sizeof(*log));
	log->fd = fd;
	atomic_store(&log->level, level);
	log->may_block = fstat(fd, &status) == 0 && !S_ISREG(status.st_mode) &&
			 !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

void log_set_name(struct log *log, const char *name)
{
	snprintf(log->name, sizeof(log->name), "%s", name);
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

/* file_writer_config.write */
static void write_lines(void *opaque, const uint8_t *data, size_t length)
{
	struct log_file *file = opaque;

	while (length) {
		ssize_t done = write(file->fd, data, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			break;
		data += done;
		length -= (size_t)done;
	}
	while (length--)
		if (*data++ == '\n')
			atomic_fetch_add(&file->lost, 1);
}

int log_file_open(struct log *log)
{
	struct file_writer_config config = {.name = "log", .write = write_lines};
	struct stat status;
	struct log_file *file;

	if (fstat(log->fd, &status) < 0 || !S_ISREG(status.st_mode))
		return 0;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->fd = log->fd;
	config.opaque = file;
	if (file_writer_create(&config, &file->writer) < 0) {
		free(file);
		return -ENOMEM;
	}
	log->file = file;
	return 0;
}

int log_file_start(struct log *log, int (*enter)(void *opaque, struct error *err), void *opaque,
		   struct error *err)
{
	return log->file ? file_writer_start(log->file->writer, enter, opaque, err) : 0;
}

void log_file_flush(struct log *log, unsigned ms)
{
	if (log->file)
		file_writer_flush(log->file->writer, ms);
}

bool log_file_close(struct log *log)
{
	if (!log->file)
		return true;
	if (!file_writer_end(log->file->writer, FILE_WRITER_END_MS))
		return false;
	file_writer_destroy(log->file->writer);
	free(log->file);
	log->file = NULL;
	return true;
}

/* "2026-11-30T16:45:01.123Z web symvm: warn: ", without an end of line. */
static size_t put_prefix(char *line, size_t size, const struct log *log, enum log_level level)
{
	struct timespec now;
	struct tm parts;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	used = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &parts);
	used += (size_t)snprintf(line + used, size - used,
				 ".%03ldZ %s%ssymvm: %s: ", now.tv_nsec / 1000000, log->name,
				 log->name[0] ? " " : "", level_names[level]);
	return used;
}

/* False when the line could not be written at once. */
static bool put_line(struct log *log, enum log_level level, const char *message)
{
	char line[LINE_MAX_BYTES];
	size_t used = put_prefix(line, sizeof(line), log, level);
	struct pollfd room = {.fd = log->fd, .events = POLLOUT};

	text_escape(line + used, sizeof(line) - used - 1, message, strlen(message), SIZE_MAX, 0);
	used += strlen(line + used);
	line[used++] = '\n';
	if (log->file)
		return file_writer_put(log->file->writer, (const uint8_t *)line, used);
	/* The reader of a pipe or a terminal may have stopped. */
	if (log->may_block && poll(&room, 1, 0) != 1)
		return false;
	return write(log->fd, line, used) >= 0;
}

static void write_line(struct log *log, enum log_level level, const char *format, va_list args)
{
	char message[MESSAGE_MAX], note[64];
	uint32_t lost = atomic_exchange(&log->lost, 0);

	if (log->file)
		lost += atomic_exchange(&log->file->lost, 0);
	if (lost) {
		snprintf(note, sizeof(note), "log: %u lines could not be written", lost);
		if (!put_line(log, LOG_LEVEL_WARN, note)) {
			/* Not the note itself, but the line that would have followed. */
			atomic_fetch_add(&log->lost, lost + 1);
			return;
		}
	}
	if (vsnprintf(message, sizeof(message), format, args) < 0 || !put_line(log, level, message))
		atomic_fetch_add(&log->lost, 1);
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
