/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that writes to a file, so that no other thread waits for the host's disk. While it
 * writes one buffer, callers fill the other one, which has FILE_WRITER_SIZE bytes; more is refused.
 * Until file_writer_start() there is no thread, and a caller writes by itself.
 */
#ifndef SYMVM_UTIL_FILE_WRITER_H
#define SYMVM_UTIL_FILE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

#define FILE_WRITER_SIZE   65536u
#define FILE_WRITER_END_MS 1000u /* a usual limit for file_writer_end() */

struct file_writer;

struct file_writer_config {
	const char *name; /* of the thread, at most 15 bytes; outlives it */
	/* Writes all of @data, however long that takes: the bytes of whole file_writer_put() calls.
	 * On the writer's thread; one call at a time. */
	void (*write)(void *opaque, const uint8_t *data, size_t length);
	/* Bytes were refused, and there is room again. The writer's thread, which holds no lock;
	 * not after file_writer_end() began. May be NULL. */
	void (*room)(void *opaque);
	void *opaque;
};

/* -ENOMEM. Any thread. */
int file_writer_create(const struct file_writer_config *config, struct file_writer **writer);

/*
 * Starts the thread, which first calls @enter(@enter_opaque): it puts the calling thread into its
 * jail, or returns -errno with words. -errno with words. Main thread, once.
 */
int file_writer_start(struct file_writer *writer, int (*enter)(void *opaque, struct error *err),
		      void *enter_opaque, struct error *err);

/*
 * Takes all @length bytes (at most FILE_WRITER_SIZE), or none if there is no room for them. Does
 * not wait for the file once the thread runs. Any thread.
 */
bool file_writer_put(struct file_writer *writer, const uint8_t *data, size_t length);

/* Waits until the file has taken all bytes, at most @ms. Whether it has. Any thread. */
bool file_writer_flush(struct file_writer *writer, unsigned ms);

/*
 * Waits until the file has taken all bytes, at most @ms, and ends the thread. False if it is still
 * in a call of config.write: it ends after that call, and until then needs the writer and
 * config.opaque. So the caller leaves both as they are; file_writer_put() refuses everything. NULL
 * and a writer that was not started are fine. Main thread, when nothing is put any more, except
 * lines of the log.
 */
bool file_writer_end(struct file_writer *writer, unsigned ms);

/* Frees it. NULL is fine. Only if file_writer_end() returned true. */
void file_writer_destroy(struct file_writer *writer);

#endif
