// SPDX-License-Identifier: BSD-2-Clause
/* A console's file on a host disk that hangs. */
#include "stand_ins.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../util/stuck_file.h"
#include "chardev_user.h"

static char path[64];
static pthread_t thread;

static void *run_loop(void *opaque)
{
	event_loop_run(loop);
	return NULL;
}

/* A console on a file; the loop runs on a thread. */
static struct chardev *open_file(void)
{
	struct chardev *chardev;
	struct error err;
	char spec[96];

	snprintf(path, sizeof(path), "/tmp/test_chardev_stuck.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s", path);
	chardev = open_it(spec);
	assert_int_equal(chardev_start(chardev, NULL, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, NULL), 0);
	return chardev;
}

static void close_file(struct chardev *chardev)
{
	event_loop_quit(loop);
	pthread_join(thread, NULL);
	close_it(chardev);
	unlink(path);
}

static void put(struct chardev *chardev, const char *text)
{
	assert_int_equal(chardev_write(chardev, (const uint8_t *)text, strlen(text), true),
			 strlen(text));
}

static void set(void *opaque)
{
	atomic_store((_Atomic bool *)opaque, true);
}

/* Whether the loop serves another device within 10 s. */
static bool loop_answers(void)
{
	static _Atomic bool answered;

	atomic_store(&answered, false);
	assert_int_equal(event_loop_post(loop, set, (void *)&answered), 0);
	for (unsigned i = 0; i < 10000 && !atomic_load(&answered); i++)
		usleep(1000);
	return atomic_load(&answered);
}

static json_int_t counter(struct chardev *chardev, const char *name)
{
	json_t *object = json_object();
	json_int_t value;

	chardev_describe(chardev, object);
	value = json_integer_value(json_object_get(object, name));
	json_decref(object);
	return value;
}

static bool ends_with(const char *text)
{
	char end[64] = "";
	struct stat status;
	int fd = open(path, O_RDONLY);
	size_t length = strlen(text);

	assert_int_equal(fstat(fd, &status), 0);
	if ((size_t)status.st_size >= length)
		assert_int_equal(pread(fd, end, length, status.st_size - (off_t)length), length);
	close(fd);
	return strcmp(end, text) == 0;
}

static bool gets(const char *text)
{
	for (unsigned i = 0; i < 10000 && !ends_with(text); i++)
		usleep(1000);
	return ends_with(text);
}

static void other_devices_are_served(void **state)
{
	struct chardev *chardev = open_file();

	put(chardev, "before\n");
	assert_true(gets("before\n"));
	stuck_file_hold(path);
	put(chardev, "one\n");
	if (!stuck_file_reached() || !loop_answers()) {
		stuck_file_release();
		fail_msg("the loop waits for the disk");
	}
	/* Neither do clients wait, nor a vCPU that writes more. */
	assert_int_equal(counter(chardev, "bytes_out"), 7);
	put(chardev, "two\n");
	assert_true(loop_answers());
	stuck_file_release();
	assert_true(gets("before\none\ntwo\n"));
	close_file(chardev);
}

/* The guest waits for a second, once. Then output is dropped and counted until the disk answers. */
static void output_is_dropped_and_counted(void **state)
{
	static uint8_t much[1 << 20];
	struct chardev *chardev = open_file();
	json_int_t dropped;

	memset(much, '.', sizeof(much));
	put(chardev, "first\n");
	assert_true(gets("first\n"));
	stuck_file_hold(path);
	assert_int_equal(chardev_write(chardev, much, sizeof(much), true), sizeof(much));
	assert_true(stuck_file_reached());
	assert_true(loop_answers());
	dropped = counter(chardev, "bytes_dropped");
	assert_true(dropped > (1 << 19) && dropped < (1 << 20));
	stuck_file_release();
	assert_true(gets("...."));
	for (unsigned i = 0; i < 10000 && counter(chardev, "bytes_out") + dropped < 6 + (1 << 20);
	     i++)
		usleep(1000);
	put(chardev, "the end\n");
	assert_true(gets("the end\n"));
	/* The file has the bytes before the thread that wrote them counts them. */
	for (unsigned i = 0; i < 10000 && counter(chardev, "bytes_out") + dropped < 14 + (1 << 20);
	     i++)
		usleep(1000);
	assert_int_equal(counter(chardev, "bytes_out") + dropped, 6 + (1 << 20) + 8);
	assert_int_equal(counter(chardev, "bytes_dropped"), dropped);
	close_file(chardev);
}

/* Last: a thread of it is left. */
static void an_end_does_not_wait_for_the_disk(void **state)
{
	struct chardev *chardev = open_file();

	stuck_file_hold(path);
	put(chardev, "one\n");
	assert_true(stuck_file_reached());
	assert_true(loop_answers());
	close_file(chardev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_devices_are_served),
		cmocka_unit_test(output_is_dropped_and_counted),
		cmocka_unit_test(an_end_does_not_wait_for_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
