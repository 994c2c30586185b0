// SPDX-License-Identifier: BSD-2-Clause
#include "chardev_user.h"

#include <string.h>

#include "stand_ins.h"

struct event_loop *loop;
struct log test_log;
uint8_t received[256];
size_t received_count;
bool quit_asked;

static size_t room(void *opaque)
{
	return sizeof(received) - received_count;
}

void chardev_input(void *opaque, const uint8_t *data, size_t length)
{
	memcpy(received + received_count, data, length);
	received_count += length;
}

void chardev_quit(void *opaque)
{
	quit_asked = true;
	event_loop_quit(loop);
}

const struct chardev_ops chardev_ops = {.room = room, .input = chardev_input, .quit = chardev_quit};

struct chardev *open_it(const char *spec)
{
	struct chardev *chardev = NULL;
	struct error err = {0};

	log_init(&test_log, 2, LOG_LEVEL_ERROR);
	received_count = 0;
	quit_asked = false;
	assert_int_equal(event_loop_create(&loop), 0);
	if (chardev_open("console", spec, loop, &test_log, &chardev_ops, NULL, &chardev, &err) < 0)
		fail_msg("%s", err.text);
	return chardev;
}

void close_it(struct chardev *chardev)
{
	chardev_close(chardev);
	event_loop_destroy(loop);
}
