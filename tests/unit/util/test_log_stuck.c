// SPDX-License-Identifier: BSD-2-Clause
/* A log file on a disk that hangs does not hold up the VM. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "stuck_file.h"
#include "util/log.h"

#define MANY 5000u

static char path[64];
static struct log log_object;

static int enter(void *opaque, struct error *err)
{
	return 0;
}

static int setup(void **state)
{
	struct error err;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_log_stuck.%d", getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	log_init(&log_object, fd, LOG_LEVEL_WARN);
	return log_file_open(&log_object) < 0 || log_file_start(&log_object, enter, NULL, &err) < 0;
}

static int teardown(void **state)
{
	bool closed = log_file_close(&log_object);

	close(log_object.fd);
	unlink(path);
	return closed ? 0 : -1;
}

/* The number of lines of the file that have @text. */
static unsigned lines_with(const char *text)
{
	FILE *file = fopen(path, "r");
	char line[4096];
	unsigned count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, text) != NULL;
	fclose(file);
	return count;
}

static void a_disk_that_hangs_costs_lines_only(void **state)
{
	struct log copy = log_object;
	unsigned lost;

	log_warn(&log_object, "before");
	log_warn(&copy, "of a copy");
	log_file_flush(&log_object, 10000);
	assert_int_equal(lines_with("before"), 1);
	assert_int_equal(lines_with("of a copy"), 1);
	stuck_file_hold(path);
	log_warn(&log_object, "noise");
	assert_true(stuck_file_reached());
	for (unsigned i = 1; i < MANY; i++)
		log_warn(&log_object, "noise %u", i);
	lost = atomic_load(&log_object.lost);
	assert_true(lost > 0);
	stuck_file_release();
	log_file_flush(&log_object, 10000);
	log_warn(&log_object, "after");
	log_file_flush(&log_object, 10000);
	assert_int_equal(lines_with("noise"), MANY - lost);
	assert_int_equal(lines_with("lines could not be written"), 1);
	assert_int_equal(lines_with("after"), 1);
}

static void lines_that_the_file_did_not_take_are_counted(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(full >= 0);
	/* The descriptor stays the same, as after a rotation. */
	assert_true(dup2(full, log_object.fd) >= 0);
	close(full);
	log_warn(&log_object, "one");
	log_warn(&log_object, "two");
	log_file_flush(&log_object, 10000);
	full = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(dup2(full, log_object.fd) >= 0);
	close(full);
	log_warn(&log_object, "three");
	log_file_flush(&log_object, 10000);
	assert_int_equal(lines_with("log: 2 lines could not be written"), 1);
	assert_int_equal(lines_with("three"), 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_disk_that_hangs_costs_lines_only),
		CASE(lines_that_the_file_did_not_take_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
