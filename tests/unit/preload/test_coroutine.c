// SPDX-License-Identifier: BSD-2-Clause
/* A function hands its thread back in the middle, and continues. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "preload/coroutine.h"

struct trace {
	struct coroutine coroutine;
	char text[16];
};

static void twice(void *argument)
{
	struct trace *trace = argument;

	strcat(trace->text, "a");
	coroutine_yield(&trace->coroutine);
	strcat(trace->text, "b");
	coroutine_yield(&trace->coroutine);
	strcat(trace->text, "c");
}

static void straight(void *argument)
{
	struct trace *trace = argument;

	strcat(trace->text, "x");
}

static void continues_where_it_yielded(void **state)
{
	struct trace trace = {.text = ""};

	assert_int_equal(coroutine_start(&trace.coroutine, twice, &trace), 0);
	assert_string_equal(trace.text, "a");
	assert_true(trace.coroutine.active);
	strcat(trace.text, "-");
	assert_int_equal(coroutine_resume(&trace.coroutine), 0);
	assert_string_equal(trace.text, "a-b");
	assert_int_equal(coroutine_resume(&trace.coroutine), 1);
	assert_string_equal(trace.text, "a-bc");
	assert_false(trace.coroutine.active);
}

static void starts_again_on_the_same_stack(void **state)
{
	struct trace trace = {.text = ""};
	void *stack;

	assert_int_equal(coroutine_start(&trace.coroutine, straight, &trace), 1);
	stack = trace.coroutine.stack;
	assert_int_equal(coroutine_start(&trace.coroutine, straight, &trace), 1);
	assert_ptr_equal(trace.coroutine.stack, stack);
	assert_string_equal(trace.text, "xx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(continues_where_it_yielded),
		cmocka_unit_test(starts_again_on_the_same_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
