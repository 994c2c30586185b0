/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of a character stream share. Only devices/chardev*.c include it. */
#ifndef SYMVM_DEVICES_CHARDEV_INTERNAL_H
#define SYMVM_DEVICES_CHARDEV_INTERNAL_H

#include "devices/chardev.h"

#include <pthread.h>
#include <stdatomic.h>

#include "devices/chardev_file.h"
#include "devices/chardev_host.h"
#include "util/file_writer.h"

struct chardev {
	struct event_loop *loop;
	struct log *log;
	const struct chardev_ops *ops;
	void *opaque;

	struct chardev_host host;
	/* The output is a file, which epoll refuses: its thread writes. Else NULL. */
	struct file_writer *writer;

	/* Loop's thread only. */
	struct event_source *listen_source;
	struct event_source *input_source;
	struct event_source *output_source;
	struct event_source *timer_source;
	struct event_source *retry_source;
	struct terminal_watch *terminal_watch;
	bool input_ended; /* the client sends no more */
	int timer_fd;
	int retry_fd;	   /* a timer: the host had no descriptor for a client */
	uint8_t *leftover; /* input of a client that has left; given before the next one's */
	size_t leftover_at, leftover_count;
	uint64_t silent_until_ns; /* CLOCK_MONOTONIC: the next complaint about the file */
	struct chardev_file file; /* the writer's thread only */
	_Atomic int file_status;  /* why output was lost, or 0 */

	pthread_mutex_t lock;
	pthread_cond_t room; /* output was taken */
	uint8_t output[CHARDEV_OUTPUT_SIZE];
	size_t head, count;
	uint64_t appended; /* bytes that were put into the ring, ever */
	bool armed;	   /* the timer or EPOLLOUT will flush */
	bool refused;	   /* a writer waits for ops->writable */
	bool stalled;	   /* the reader let us wait too long */
	bool input_stopped;
	bool connected;
	uint64_t bytes_in;
	_Atomic uint64_t bytes_out, bytes_dropped; /* without the lock */
};

/* Writes what the reader takes. Returns 0, -EAGAIN (some is left) or another -errno. Locked. */
int chardev_write_pending(struct chardev *chardev);
/*
 * file_writer_config.write of the stream @opaque: what its file does not take is lost, and counted.
 */
void chardev_write_file(void *opaque, const uint8_t *data, size_t length);
/* Logs, once a minute at most, that the file did not take output. Loop's thread, or main thread. */
void chardev_complain(struct chardev *chardev);

#endif
