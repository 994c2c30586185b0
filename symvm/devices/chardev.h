/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's end of a byte stream (serial port, virtio-console): standard
 * input and output, a unix socket with one client, a file, or nothing.
 */
#ifndef SYMVM_DEVICES_CHARDEV_H
#define SYMVM_DEVICES_CHARDEV_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"
#include "util/log.h"
#include "util/event_loop.h"

#define CHARDEV_OUTPUT_SIZE 65536u /* bytes kept for a slow reader */
#define CHARDEV_INPUT_SIZE  4096u  /* bytes read at once */

struct chardev;
struct jail;

/* All of them run on the loop's thread, which holds no lock of the stream. */
struct chardev_ops {
	/* How many bytes the device takes now. At most CHARDEV_INPUT_SIZE are given at once. */
	size_t (*room)(void *opaque);
	void (*input)(void *opaque, const uint8_t *data, size_t length);
	/* Output that chardev_write() refused may be tried again. May be NULL. */
	void (*writable)(void *opaque);
	/* The user typed Ctrl-A x on a terminal. */
	void (*quit)(void *opaque);
};

/*
 * Opens what @spec names: "stdio", "socket:PATH", "file:PATH[,max=SIZE]" or "none". @option is the
 * option's name for messages. A file keeps the newest SIZE bytes (by default 64 MiB). @log and
 * @loop must outlive the stream. -errno with words. Main thread.
 */
int chardev_open(const char *option, const char *spec, struct event_loop *loop, struct log *log,
		 const struct chardev_ops *ops, void *opaque, struct chardev **chardev,
		 struct error *err);
/*
 * Starts the stream's thread, which enters @jail, if the output is a file: it writes, so that no
 * other thread waits for the host's disk. Without this call the loop writes. -errno with words.
 * Main thread, before any vCPU runs.
 */
int chardev_start(struct chardev *chardev, struct jail *jail, struct error *err);
/*
 * Whether clients connect and leave on a socket (the jail must allow it, see jail/jail.h). Any
 * thread.
 */
bool chardev_has_socket(const struct chardev *chardev);
/*
 * Writes what can be written within seconds, restores the terminal and frees the stream, except its
 * memory if its thread still waits for a disk that hangs. NULL is allowed. The loop is stopped.
 * Main thread.
 */
void chardev_close(struct chardev *chardev);

/*
 * Takes up to @length bytes for output and returns how many it took; the loop's thread writes them
 * a moment later. While nobody is connected, the oldest bytes make room for new ones. If the reader
 * is slow (a file: its disk) and @wait is set, this waits for room. After one second without
 * progress it drops (and counts) bytes until the reader takes some again. Never set @wait on the
 * loop's thread. Any thread.
 */
size_t chardev_write(struct chardev *chardev, const uint8_t *data, size_t length, bool wait);

/*
 * Copies the newest bytes of output, at most @size, to @out, whether a reader took them or not.
 * Returns their number. Output that was dropped because there is no reader at all ("none") is not
 * kept. Any thread.
 */
size_t chardev_tail(struct chardev *chardev, char *out, size_t size);

/* The device has room for input again. Any thread. */
void chardev_resume(struct chardev *chardev);

/* Writes pending output, as far as the reader takes it now. vCPUs are stopped. Main thread. */
void chardev_flush(struct chardev *chardev);

/* Adds counters to @object. Any thread. */
void chardev_describe(struct chardev *chardev, json_t *object);

#endif
