// SPDX-License-Identifier: BSD-2-Clause
/* The growth of the log that a guest can cause; one source of noise hides no other message. */
#include <setjmp.h>
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

#define NOISE 10000

static FILE *file;
static struct log log_object;

static int setup(void **state)
{
	file = tmpfile();
	if (!file)
		return -1;
	log_init(&log_object, fileno(file), LOG_LEVEL_WARN);
	return 0;
}

static int teardown(void **state)
{
	return fclose(file);
}

/* The number of lines of the log that have @text. */
static unsigned lines_with(const char *text)
{
	char line[4096];
	unsigned count = 0;

	rewind(file);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, text) != NULL;
	return count;
}

static void one_noisy_source_hides_no_other(void **state)
{
	for (int i = 0; i < NOISE; i++)
		log_limited(&log_object, LOG_LEVEL_WARN, "noise %d", i);
	log_limited(&log_object, LOG_LEVEL_WARN, "the disk failed: %s", "here");
	assert_int_equal(lines_with("the disk failed: here"), 1);
	assert_true(lines_with("noise") >= 1);
	assert_true(lines_with("noise") < NOISE / 10);
}

static void a_full_table_of_sources_still_writes_and_still_limits(void **state)
{
	static char formats[LOG_SOURCES * 2][16];
	unsigned before;

	for (unsigned i = 0; i < LOG_SOURCES * 2; i++) {
		snprintf(formats[i], sizeof(formats[i]), "kind%u", i);
		log_limited(&log_object, LOG_LEVEL_WARN, formats[i]);
	}
	before = lines_with("kind");
	assert_true(before >= LOG_SOURCES - 1 + 1);
	for (int i = 0; i < NOISE; i++)
		log_limited(&log_object, LOG_LEVEL_WARN, formats[LOG_SOURCES * 2 - 1]);
	assert_true(lines_with("kind") < before + NOISE / 10);
}

static void levels_that_are_off_cost_nothing(void **state)
{
	for (int i = 0; i < NOISE; i++)
		log_limited(&log_object, LOG_LEVEL_DEBUG, "detail");
	log_limited(&log_object, LOG_LEVEL_WARN, "detail");
	assert_int_equal(lines_with("detail"), 1);
}

/* The clock is an argument here, so a day passes at once. */
static void seconds_and_days_have_their_bounds(void **state)
{
	struct log_source source = {0};
	uint64_t written = 0, second = 0;
	unsigned last = 0, in_second = 0;

	for (; second < LOG_SECONDS_PER_DAY; second++) {
		in_second = 0;
		for (int i = 0; i < 100; i++) {
			enum log_verdict verdict = log_limit_take(&source, second, 500);

			in_second += verdict != LOG_VERDICT_DROP;
			last += verdict == LOG_VERDICT_LAST;
		}
		assert_true(in_second <= LOG_LINES_PER_SECOND);
		written += in_second * 500;
	}
	assert_true(written <= LOG_BYTES_PER_DAY);
	assert_true(written > LOG_BYTES_PER_DAY / 2);
	assert_int_equal(last, 1);
	assert_int_equal(in_second, 0);
	assert_true(atomic_load(&source.dropped) > 0);
	assert_int_equal(log_limit_take(&source, second, 500), LOG_VERDICT_WRITE);
}

static void what_was_left_out_is_said(void **state)
{
	struct log_source *source;

	for (int i = 0; i < 100; i++)
		log_limited(&log_object, LOG_LEVEL_WARN, "noise");
	/* The window of the next second. */
	for (unsigned i = 0; i < LOG_SOURCES; i++) {
		source = &log_object.limit.sources[i];
		atomic_store(&source->second, 0);
	}
	log_limited(&log_object, LOG_LEVEL_WARN, "noise");
	assert_true(lines_with("lines like the next one were left out") >= 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(one_noisy_source_hides_no_other),
		CASE(a_full_table_of_sources_still_writes_and_still_limits),
		CASE(levels_that_are_off_cost_nothing),
		CASE(seconds_and_days_have_their_bounds),
		CASE(what_was_left_out_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
