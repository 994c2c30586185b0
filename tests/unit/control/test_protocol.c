// SPDX-License-Identifier: BSD-2-Clause
/* Bytes become lines, lines become requests, and both become answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/control.h"
#include "control/protocol.h"

static void put(struct control_input *input, const char *text)
{
	assert_int_equal(control_input_put(input, text, strlen(text)), strlen(text));
}

static void expect_line(struct control_input *input, const char *expected)
{
	const char *line;
	size_t length;

	assert_int_equal(control_input_take(input, &line, &length), CONTROL_LINE_READY);
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(line, expected, length);
}

static void expect_none(struct control_input *input)
{
	const char *line;
	size_t length;

	assert_int_equal(control_input_take(input, &line, &length), CONTROL_LINE_NONE);
}

static void lines_are_cut_wherever_the_bytes_are(void **state)
{
	struct control_input input = {0};

	expect_none(&input);
	put(&input, "on");
	expect_none(&input);
	put(&input, "e\ntwo\r\n\nfo");
	expect_line(&input, "one");
	expect_line(&input, "two");
	expect_line(&input, "");
	expect_none(&input);
	put(&input, "ur\n");
	expect_line(&input, "four");
	expect_none(&input);
	control_input_free(&input);
}

static void fill(struct control_input *input, size_t count)
{
	char chunk[1000];

	memset(chunk, 'x', sizeof(chunk));
	while (count) {
		size_t part = count < sizeof(chunk) ? count : sizeof(chunk);

		assert_int_equal(control_input_put(input, chunk, part), part);
		count -= part;
	}
}

static void the_longest_line_passes(void **state)
{
	struct control_input input = {0};
	const char *line;
	size_t length;

	fill(&input, CONTROL_LINE_MAX);
	expect_none(&input);
	put(&input, "\r\n");
	assert_int_equal(control_input_take(&input, &line, &length), CONTROL_LINE_READY);
	assert_int_equal(length, CONTROL_LINE_MAX);
	expect_none(&input);
	control_input_free(&input);
}

static void a_longer_one_is_told_once_and_dropped(void **state)
{
	struct control_input input = {0};
	const char *line;
	size_t length;

	fill(&input, CONTROL_LINE_MAX + 1);
	put(&input, "\n");
	assert_int_equal(control_input_take(&input, &line, &length), CONTROL_LINE_TOO_LONG);
	expect_none(&input);
	fill(&input, CONTROL_LINE_MAX + 2);
	assert_int_equal(control_input_put(&input, "x", 1), 0); /* bounded */
	assert_int_equal(control_input_take(&input, &line, &length), CONTROL_LINE_TOO_LONG);
	for (int i = 0; i < 100; i++) {
		fill(&input, 5000);
		expect_none(&input);
	}
	put(&input, "end of it\nnext\n");
	expect_line(&input, "next");
	expect_none(&input);
	control_input_free(&input);
}

static int parse(const char *text, struct control_request *request)
{
	struct error err;
	int status;

	err.text[0] = '\0';
	status = control_request_parse(text, strlen(text), request, &err);
	if (status < 0) {
		assert_true(err.text[0] != '\0');
		assert_null(strchr(err.text, '\n'));
		assert_null(request->document);
	}
	return status;
}

static void requests_are_taken(void **state)
{
	struct control_request request;

	assert_int_equal(parse("{\"command\":\"info\"}", &request), 0);
	assert_string_equal(request.command, "info");
	assert_int_equal(json_object_size(request.arguments), 0);
	assert_null(request.id);
	control_request_free(&request);
	assert_int_equal(
		parse(" {\"id\": 7, \"arguments\": {\"force\": true}, \"command\":\"stop\"}",
		      &request),
		0);
	assert_true(json_is_true(json_object_get(request.arguments, "force")));
	assert_int_equal(json_integer_value(request.id), 7);
	control_request_free(&request);
}

static void malformed_requests_are_refused(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"{",
		"}",
		"[]",
		"null",
		"7",
		"\"info\"",
		"{}",
		"info",
		"{\"command\":7}",
		"{\"command\":null}",
		"{\"command\":\"a\",\"arguments\":[]}",
		"{\"command\":\"a\",\"arguments\":null}",
		"{\"command\":\"a\",\"id\":{}}",
		"{\"command\":\"a\",\"more\":1}",
		"{\"command\":\"a\",\"command\":\"b\"}",
		"{\"command\":\"a\"} {}",
		"{\"command\":\"\\u0000\"}",
		"{\"command\":\"\xff\"}",
		"{'command':'a'}",
	};
	struct control_request request;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(parse(texts[i], &request), -EINVAL);
}

static void deep_nesting_is_refused(void **state)
{
	struct control_request request;
	struct error err;
	char *text = malloc(CONTROL_LINE_MAX);

	memset(text, '[', CONTROL_LINE_MAX);
	assert_int_equal(control_request_parse(text, CONTROL_LINE_MAX, &request, &err), -EINVAL);
	free(text);
}

static void answers_are_one_line(void **state)
{
	struct control_request request;
	struct error err;
	char *line;

	assert_int_equal(parse("{\"command\":\"a\",\"id\":\"x\\ny\"}", &request), 0);
	line = control_answer(&request, 0, json_pack("{s:s}", "text", "one\ntwo"), &err);
	assert_string_equal(line, "{\"result\":{\"text\":\"one\\ntwo\"},\"id\":\"x\\ny\"}\n");
	free(line);
	error_set(&err, -EBUSY, "the thing is busy");
	line = control_answer(&request, -EBUSY, NULL, &err);
	assert_string_equal(line, "{\"error\":{\"code\":-16,\"message\":\"the thing is busy\"},"
				  "\"id\":\"x\\ny\"}\n");
	free(line);
	control_request_free(&request);
	line = control_answer(NULL, 0, NULL, &err);
	assert_string_equal(line, "{\"result\":{}}\n");
	free(line);
	/* Words that are not UTF-8 must not prevent the answer. */
	error_set(&err, -EINVAL, "unknown '\xff\xfe'");
	line = control_answer(NULL, -EINVAL, NULL, &err);
	assert_non_null(line);
	assert_non_null(strstr(line, "\"code\":-22"));
	free(line);
}

static void arguments_are_checked(void **state)
{
	static const char *const known[] = {"flag", "number", "text", NULL};
	json_t *arguments = json_pack("{s:b, s:i, s:s}", "flag", 1, "number", 12, "text", "words");
	json_int_t number = 0;
	const char *text = NULL;
	bool flag = false;
	struct error err;

	assert_int_equal(control_arguments_known(arguments, known, &err), 0);
	assert_int_equal(control_argument_bool(arguments, "flag", &flag, &err), 0);
	assert_true(flag);
	assert_int_equal(control_argument_bool(arguments, "absent", &flag, &err), 0);
	assert_true(flag);
	assert_int_equal(control_argument_bool(arguments, "number", &flag, &err), -EINVAL);
	assert_int_equal(control_argument_integer(arguments, "number", 12, 12, &number, &err), 0);
	assert_int_equal(number, 12);
	assert_int_equal(control_argument_integer(arguments, "number", 0, 11, &number, &err),
			 -EINVAL);
	assert_int_equal(control_argument_integer(arguments, "number", 13, 20, &number, &err),
			 -EINVAL);
	assert_int_equal(control_argument_integer(arguments, "text", 0, 20, &number, &err),
			 -EINVAL);
	assert_int_equal(control_argument_text(arguments, "text", &text, &err), 0);
	assert_string_equal(text, "words");
	assert_int_equal(control_argument_text(arguments, "flag", &text, &err), -EINVAL);
	json_object_set_new(arguments, "other", json_null());
	assert_int_equal(control_arguments_known(arguments, known, &err), -EINVAL);
	json_decref(arguments);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_cut_wherever_the_bytes_are),
		cmocka_unit_test(the_longest_line_passes),
		cmocka_unit_test(a_longer_one_is_told_once_and_dropped),
		cmocka_unit_test(requests_are_taken),
		cmocka_unit_test(malformed_requests_are_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(answers_are_one_line),
		cmocka_unit_test(arguments_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
