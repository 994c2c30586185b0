// SPDX-License-Identifier: BSD-2-Clause
/* The parser of all subcommands: each type and its limits, the targets of values, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"

struct input {
	bool flag;
	unsigned number, choice;
	uint64_t size;
	const char *text;
	char *copy;
	const char *custom;
	bool custom_without;
};

static int take_custom(void *input, const struct argument *argument, const char *value,
		       struct error *err)
{
	struct input *taken = input;

	taken->custom = value;
	taken->custom_without = !value;
	return value && strcmp(value, "bad") == 0 ? error_set(err, -ERANGE, "--custom: bad") : 0;
}

#define INTO(member) ARGUMENT_INTO(struct input, member)

static const char *const choices[] = {"red", "green", "blue", NULL};
static const struct argument words[] = {
	{.name = "FIRST", .type = ARGUMENT_TEXT, .key = "first", .help = "a text"},
	{.name = "REST",
	 .type = ARGUMENT_NUMBER,
	 .key = "rest",
	 .optional = true,
	 .repeated = true,
	 .help = "numbers"},
	{0},
};
static const struct argument options[] = {
	{.name = "flag", .type = ARGUMENT_FLAG, INTO(flag), .help = "h"},
	{.name = "sent", .letter = 's', .type = ARGUMENT_FLAG, .key = "sent", .help = "h"},
	{.name = "number",
	 .letter = 'n',
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 INTO(number),
	 .minimum = 2,
	 .maximum = 20,
	 .help = "h"},
	{.name = "size", .type = ARGUMENT_SIZE, .metavar = "SIZE", INTO(size), .help = "h"},
	{.name = "wait",
	 .type = ARGUMENT_DURATION,
	 .metavar = "SECONDS",
	 .key = "wait",
	 .maximum = 60,
	 .help = "h"},
	{.name = "choice", .type = ARGUMENT_CHOICE, INTO(choice), .choices = choices, .help = "h"},
	{.name = "colour",
	 .type = ARGUMENT_CHOICE,
	 .key = "colour",
	 .choices = choices,
	 .help = "h"},
	{.name = "text", .type = ARGUMENT_TEXT, .metavar = "TEXT", INTO(text), .help = "h"},
	{.name = "copy",
	 .type = ARGUMENT_TEXT,
	 .metavar = "TEXT",
	 INTO(copy),
	 .copy = true,
	 .may_be_empty = true,
	 .help = "h"},
	{.name = "custom",
	 .type = ARGUMENT_CUSTOM,
	 .metavar = "X",
	 .value_optional = true,
	 .take = take_custom,
	 .help = "h"},
	{0},
};
static const struct arguments table = {.about = "About.", .words = words, .options = options};

static struct input input;
static json_t *request;
static struct error err;

static int parse(char **argv)
{
	int argc = 0;

	free(input.copy);
	input = (struct input){0};
	json_decref(request);
	request = json_object();
	while (argv[argc])
		argc++;
	return arguments_parse(&table, argc, argv, &input, request, &err);
}

#define PARSE(...) parse((char *[]){"test", __VA_ARGS__, NULL})

static json_int_t number_of(const char *key)
{
	return json_integer_value(json_object_get(request, key));
}

static void expect_refusal(int status, const char *text)
{
	assert_int_equal(status, -EINVAL);
	assert_string_equal(err.text, text);
}

static void values_go_where_the_table_says(void **state)
{
	assert_int_equal(PARSE("--flag", "one", "-s", "--number=0x10", "--size", "3K", "7",
			       "--wait=60", "--choice=blue", "--colour=green", "--text=t",
			       "--copy=", "--custom=c", "8"),
			 0);
	assert_true(input.flag);
	assert_int_equal(input.number, 16);
	assert_int_equal(input.size, 3072);
	assert_int_equal(input.choice, 2);
	assert_string_equal(input.text, "t");
	assert_string_equal(input.copy, "");
	assert_string_equal(input.custom, "c");

	assert_string_equal(json_string_value(json_object_get(request, "first")), "one");
	assert_string_equal(json_string_value(json_object_get(request, "colour")), "green");
	assert_true(json_is_true(json_object_get(request, "sent")));
	assert_int_equal(number_of("wait"), 60);
	assert_int_equal(json_array_size(json_object_get(request, "rest")), 2);
	assert_int_equal(json_object_size(request), 5);
}

static void what_is_not_given_stays(void **state)
{
	assert_int_equal(PARSE("one"), 0);
	assert_false(input.flag);
	assert_null(input.copy);
	assert_int_equal(json_object_size(request), 1);
}

static void forms_of_options(void **state)
{
	assert_int_equal(PARSE("-n5", "--fl", "one", "--custom", "--", "9"), 0);
	assert_int_equal(input.number, 5);
	assert_true(input.flag && input.custom_without);
	assert_int_equal(json_array_size(json_object_get(request, "rest")), 1);
	assert_int_equal(PARSE("one", "--copy=a", "--copy=b"), 0);
	assert_string_equal(input.copy, "b");
}

static void values_have_limits(void **state)
{
	expect_refusal(PARSE("one", "--number=1"), "--number: 1 is outside of 2 to 20");
	expect_refusal(PARSE("one", "-n", "21"), "--number: 21 is outside of 2 to 20");
	expect_refusal(PARSE("one", "--number=x"), "--number: 'x' is not a number");
	expect_refusal(PARSE("one", "--size=12Q"), "--size: '12Q' is not a size");
	expect_refusal(PARSE("one", "--size=99999999T"),
		       "--size: '99999999T' is outside of 0 to 9223372036854775807 bytes");
	expect_refusal(PARSE("one", "--wait=61"),
		       "--wait: '61' is not a number of seconds, 0 to 60");
	expect_refusal(PARSE("one", "--choice=pink"), "--choice: 'pink' is not red, green or blue");
	expect_refusal(PARSE("one", "--text="), "--text: a value is needed");
	expect_refusal(PARSE("one", "--custom=bad"), "--custom: bad");
	expect_refusal(PARSE("one", "two"), "REST: 'two' is not a number");
	expect_refusal(PARSE("\xff"), "FIRST: '\xff' is not UTF-8");
}

static void forms_that_are_refused(void **state)
{
	expect_refusal(parse((char *[]){"test", NULL}), "test: FIRST is missing: a text");
	expect_refusal(PARSE("one", "-n"), "test: option --number needs a value: N");
	expect_refusal(PARSE("one", "--choice"),
		       "test: option --choice needs a value: red|green|blue");
	expect_refusal(PARSE("one", "--flag=1"), "test: option --flag takes no value");
	expect_refusal(PARSE("one", "--c=1"),
		       "test: unknown option '--c=1' (see 'symvm help test')");
	expect_refusal(PARSE("one", "-sx"), "test: unknown option '-sx' (see 'symvm help test')");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_go_where_the_table_says),
		cmocka_unit_test(what_is_not_given_stays),
		cmocka_unit_test(forms_of_options),
		cmocka_unit_test(values_have_limits),
		cmocka_unit_test(forms_that_are_refused),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(input.copy);
	json_decref(request);
	return failed;
}
