// SPDX-License-Identifier: BSD-2-Clause
/* Log files that a program renamed are opened again on SIGUSR1. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/log.h"
#include "util/event_loop.h"
#include "util/reopen.h"

static char base[] = "/tmp/symvm-test-XXXXXX";
static char path[64], old_path[64];

static int setup(void **state)
{
	strcpy(base + strlen(base) - 6, "XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(path, sizeof(path), "%s/log", base);
	snprintf(old_path, sizeof(old_path), "%s/log.1", base);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	rmdir(path);
	unlink(old_path);
	return rmdir(base);
}

static ino_t inode_of(int fd)
{
	struct stat status;

	assert_int_equal(fstat(fd, &status), 0);
	return status.st_ino;
}

static bool holds(const char *file, const char *words)
{
	char text[4096];
	int fd = open(file, O_RDONLY);
	ssize_t got = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[got > 0 ? got : 0] = '\0';
	return strstr(text, words) != NULL;
}

/* Runs the loop until the log has @words in @file. */
struct waiting {
	struct event_loop *loop;
	const char *file, *words;
};

static void look(void *opaque)
{
	struct waiting *waiting = opaque;

	if (holds(waiting->file, waiting->words)) {
		event_loop_quit(waiting->loop);
		return;
	}
	usleep(1000);
	event_loop_post(waiting->loop, look, waiting);
}

static void run_until(struct event_loop *loop, const char *file, const char *words)
{
	struct waiting waiting = {loop, file, words};

	alarm(60);
	event_loop_post(loop, look, &waiting);
	event_loop_run(loop);
	alarm(0);
}

struct fixture {
	struct event_loop *loop;
	struct log log;
	struct reopen *reopen;
	int fd;
};

static void start(struct fixture *fixture)
{
	struct error err;

	fixture->fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fixture->fd >= 0);
	log_init(&fixture->log, fixture->fd, LOG_LEVEL_INFO);
	assert_int_equal(event_loop_create(&fixture->loop), 0);
	fixture->reopen = reopen_create();
	reopen_add(fixture->reopen, fixture->fd, path);
	assert_int_equal(reopen_start(fixture->reopen, fixture->loop, &fixture->log, &err), 0);
}

static void stop(struct fixture *fixture)
{
	reopen_destroy(fixture->reopen);
	event_loop_destroy(fixture->loop);
	close(fixture->fd);
}

static void a_renamed_file_is_followed(void **state)
{
	struct fixture fixture;
	ino_t before;

	start(&fixture);
	before = inode_of(fixture.fd);
	log_warn(&fixture.log, "first");
	assert_int_equal(rename(path, old_path), 0);
	kill(getpid(), SIGUSR1);
	run_until(fixture.loop, path, "opened again");
	assert_int_not_equal(inode_of(fixture.fd), before);
	assert_true(fcntl(fixture.fd, F_GETFL) & O_APPEND);
	assert_true(fcntl(fixture.fd, F_GETFD) & FD_CLOEXEC);
	log_warn(&fixture.log, "second");
	assert_true(holds(old_path, "first"));
	assert_false(holds(old_path, "second"));
	assert_true(holds(path, "second"));
	/* And again. */
	assert_int_equal(rename(path, old_path), 0);
	kill(getpid(), SIGUSR1);
	run_until(fixture.loop, path, "opened again");
	stop(&fixture);
}

static void what_cannot_be_opened_leaves_the_old_file(void **state)
{
	struct fixture fixture;

	start(&fixture);
	assert_int_equal(rename(path, old_path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	kill(getpid(), SIGUSR1);
	run_until(fixture.loop, old_path, "cannot be opened again");
	log_warn(&fixture.log, "still here");
	assert_true(holds(old_path, "still here"));
	stop(&fixture);
}

static void without_files_the_signal_does_nothing(void **state)
{
	struct reopen *reopen = reopen_create();
	struct event_loop *loop;
	struct error err;
	struct log log;

	log_init(&log, 2, LOG_LEVEL_WARN);
	assert_int_equal(event_loop_create(&loop), 0);
	reopen_add(reopen, 0, "/dev/null");
	kill(getpid(), SIGUSR1);
	assert_int_equal(reopen_start(reopen, loop, &log, &err), 0);
	event_loop_post(loop, (event_function)event_loop_quit, loop);
	event_loop_run(loop);
	reopen_destroy(reopen);
	event_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_renamed_file_is_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_opened_leaves_the_old_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(without_files_the_signal_does_nothing, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
