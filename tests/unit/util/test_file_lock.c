// SPDX-License-Identifier: BSD-2-Clause
/* The caller gets a lock that another open file releases soon; one that stays is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/file_lock.h"

#define HELD_US	  300000u
#define PATIENT	  60000u /* ms; a slow host does not make a case fail */
#define IMPATIENT 50u	 /* ms */

struct fixture {
	char path[64];
	int fd, other_fd; /* two open files */
	pthread_t thread;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	snprintf(fixture->path, sizeof(fixture->path), "/tmp/symvm-lock-XXXXXX");
	fixture->fd = mkstemp(fixture->path);
	fixture->other_fd = open(fixture->path, O_RDWR | O_CLOEXEC);
	*state = fixture;
	return fixture->fd < 0 || fixture->other_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->fd);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

static void *close_later(void *opaque)
{
	struct fixture *fixture = opaque;

	usleep(HELD_US);
	close(fixture->other_fd);
	return NULL;
}

/* The owner of other_fd dies: its lock ends with the open file, some moments later. */
static void other_ends(struct fixture *fixture)
{
	assert_int_equal(pthread_create(&fixture->thread, NULL, close_later, fixture), 0);
}

static void records_that_end_are_taken(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(file_lock_records(fixture->other_fd, false, 0), 0);
	assert_int_equal(file_lock_records(fixture->fd, false, 0), -EBUSY);
	other_ends(fixture);
	assert_int_equal(file_lock_records(fixture->fd, false, PATIENT), 0);
	pthread_join(fixture->thread, NULL);
}

static void records_that_stay_are_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(file_lock_records(fixture->other_fd, true, 0), 0);
	assert_int_equal(file_lock_records(fixture->fd, false, IMPATIENT), -EBUSY);
	/* Readers share the lock. */
	assert_int_equal(file_lock_records(fixture->fd, true, 0), 0);
	close(fixture->other_fd);
}

static void a_whole_file_that_is_given_back_is_taken(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(file_lock_whole(fixture->other_fd, 0), 0);
	assert_int_equal(file_lock_whole(fixture->fd, 0), -EBUSY);
	other_ends(fixture);
	assert_int_equal(file_lock_whole(fixture->fd, PATIENT), 0);
	pthread_join(fixture->thread, NULL);
}

static void a_whole_file_that_stays_locked_is_refused(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(file_lock_whole(fixture->other_fd, 0), 0);
	assert_int_equal(file_lock_whole(fixture->fd, IMPATIENT), -EBUSY);
	close(fixture->other_fd);
}

/* Another error than "in use" is reported at once, however patient the caller is. */
static void other_errors_do_not_wait(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	close(fixture->other_fd);
	assert_int_equal(file_lock_records(fixture->other_fd, false, PATIENT), -EBADF);
	assert_int_equal(file_lock_whole(fixture->other_fd, PATIENT), -EBADF);
	assert_int_equal(file_lock_open("/nowhere/file", O_RDWR | O_CLOEXEC, 0, PATIENT), -ENOENT);
	fd = file_lock_open(fixture->path, O_RDWR | O_CLOEXEC, 0, PATIENT);
	assert_true(fd >= 0);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_that_end_are_taken),
		TEST(records_that_stay_are_refused),
		TEST(a_whole_file_that_is_given_back_is_taken),
		TEST(a_whole_file_that_stays_locked_is_refused),
		TEST(other_errors_do_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
