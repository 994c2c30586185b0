/* SPDX-License-Identifier: BSD-2-Clause */
/* The user of a console in tests: takes the input of the host's side, and remembers it. */
#ifndef TESTS_UNIT_DEVICES_CHARDEV_USER_H
#define TESTS_UNIT_DEVICES_CHARDEV_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/chardev.h"

extern struct event_loop *loop;
extern struct log test_log;
extern uint8_t received[256];
extern size_t received_count;
extern bool quit_asked;

/* chardev_ops.input and quit, for tables of a test's own. */
void chardev_input(void *opaque, const uint8_t *data, size_t length);
void chardev_quit(void *opaque);
/* Takes all input. */
extern const struct chardev_ops chardev_ops;

/* A console on @spec with chardev_ops, and a new loop; nothing was received yet. */
struct chardev *open_it(const char *spec);
/* Ends both. */
void close_it(struct chardev *chardev);

#endif
