// SPDX-License-Identifier: BSD-2-Clause
/* Log lines: their form, their quotations, and a reader that does not read. */
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/descriptor.h"
#include "util/log.h"

static int ends[2];

static int setup(void **state)
{
	return pipe(ends);
}

static int teardown(void **state)
{
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* Reads the contents of the pipe, which must not be empty. */
static const char *read_all(void)
{
	static char text[1 << 17];
	ssize_t got = read(ends[0], text, sizeof(text) - 1);

	assert_true(got > 0);
	text[got] = '\0';
	return text;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&regex, text, 0, NULL, 0) != 0)
		fail_msg("'%s' does not match '%s'", text, pattern);
	regfree(&regex);
}

#define TIME "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "

static void a_line_has_time_and_name(void **state)
{
	struct log log;

	log_init(&log, ends[1], LOG_LEVEL_WARN);
	log_warn(&log, "early");
	assert_matches(read_all(), TIME "symvm: warn: early\n$");
	log_set_name(&log, "web-1");
	log_error(&log, "disk%d: broken", 0);
	assert_matches(read_all(), TIME "web-1 symvm: error: disk0: broken\n$");
	log_info(&log, "not asked for");
	log_limited(&log, LOG_LEVEL_ERROR, "limited");
	assert_matches(read_all(), TIME "web-1 symvm: error: limited\n$");
}

static void what_a_guest_said_is_one_row(void **state)
{
	struct log log;

	log_init(&log, ends[1], LOG_LEVEL_WARN);
	log_warn(&log, "guest: %s",
		 "\033]0;x\a\n2026-01-01T00:00:00.000Z b symvm: error: fake\xc2\x9b");
	assert_matches(read_all(),
		       TIME "symvm: warn: guest: [\\]x1b\\]0;x[\\]x07[\\]x0a2026[^\n]*fake"
			    "[\\]u\\{9b\\}\n$");
}

static void a_long_message_is_cut(void **state)
{
	char text[5000];
	struct log log;
	const char *line;

	log_init(&log, ends[1], LOG_LEVEL_WARN);
	memset(text, '\033', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_warn(&log, "%s", text);
	line = read_all();
	assert_true(strlen(line) < 4096);
	assert_string_equal(line + strlen(line) - 4, "...\n");
}

/* Fills the pipe until a line is lost; a log that waits would never return. */
static void fill(struct log *log)
{
	for (unsigned i = 0; i < 100000 && atomic_load(&log->lost) == 0; i++)
		log_warn(log, "line %u, made longer by these words", i);
	assert_int_equal(atomic_load(&log->lost), 1);
}

static void check_full_pipe(int fd)
{
	struct log log;

	log_init(&log, fd, LOG_LEVEL_WARN);
	fill(&log);
	log_warn(&log, "lost, too");
	assert_int_equal(atomic_load(&log.lost), 2);
	read_all();
	log_warn(&log, "again");
	assert_matches(read_all(), TIME "symvm: warn: log: 2 lines could not be written\n"
					"[^\n]* symvm: warn: again\n$");
	assert_int_equal(atomic_load(&log.lost), 0);
}

static void a_full_pipe_does_not_hold_up(void **state)
{
	check_full_pipe(ends[1]);
}

static void a_stream_of_ones_own_leaves_the_shared_flags_alone(void **state)
{
	bool own;
	int fd = descriptor_reopen(ends[1], O_WRONLY, &own);

	assert_true(own);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
	check_full_pipe(fd);
	close(fd);
}

static void a_full_disk_is_survived(void **state)
{
	struct log log;
	int fd = open("/dev/full", O_WRONLY);

	assert_true(fd >= 0);
	log_init(&log, fd, LOG_LEVEL_WARN);
	log_warn(&log, "one");
	log_warn(&log, "two");
	assert_int_equal(atomic_load(&log.lost), 2);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_time_and_name, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_guest_said_is_one_row, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_message_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_pipe_does_not_hold_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_stream_of_ones_own_leaves_the_shared_flags_alone,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_is_survived, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
