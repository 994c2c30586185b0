// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "util/keyval.h"

struct values {
	char *path;
	bool readonly;
	uint64_t size;
	uint64_t count;
};

static int parse(const char *text, struct values *values, struct error *err)
{
	const struct keyval_field fields[] = {
		{.key = "path", .type = KEYVAL_TEXT, .value = &values->path, .required = true},
		{.key = "readonly", .type = KEYVAL_FLAG, .value = &values->readonly},
		{.key = "size", .type = KEYVAL_SIZE, .value = &values->size},
		{.key = "count", .type = KEYVAL_NUMBER, .value = &values->count},
		{0},
	};

	memset(values, 0, sizeof(*values));
	memset(err, 0, sizeof(*err));
	return keyval_parse("disk", text, fields, err);
}

static void test_takes_all_forms(void **state)
{
	struct values values;
	struct error err;

	assert_int_equal(parse("path=a,,b,readonly,size=2G,count=0x10", &values, &err), 0);
	assert_string_equal(values.path, "a,b");
	assert_true(values.readonly);
	assert_int_equal(values.size, 2ull << 30);
	assert_int_equal(values.count, 16);
	free(values.path);
	assert_int_equal(parse("image.raw,readonly=off", &values, &err), 0);
	assert_string_equal(values.path, "image.raw");
	assert_false(values.readonly);
	free(values.path);
}

static void test_names_what_is_wrong(void **state)
{
	static const struct {
		const char *text, *word;
	} cases[] = {
		{"readonly", "path"},
		{"path=x,speed=9", "speed"},
		{"path=", "path"},
		{"path=x,readonly=maybe", "readonly"},
		{"path=x,size=2X", "size"},
		{"path=x,size=-1", "size"},
		{"path=x,count=", "count"},
		{"path=x,count=1,count=2", "count"},
		{"path=x,size=99999999T", "size"},
		{"path=x,=3", "unknown"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct values values;
		struct error err;

		assert_int_equal(parse(cases[i].text, &values, &err), -EINVAL);
		assert_non_null(strstr(err.text, "--disk"));
		assert_non_null(strstr(err.text, cases[i].word));
		assert_null(values.path);
	}
}

static void test_sizes(void **state)
{
	uint64_t value;

	assert_int_equal(keyval_parse_size("512M", &value), 0);
	assert_int_equal(value, 512ull << 20);
	assert_int_equal(keyval_parse_size("1kib", &value), 0);
	assert_int_equal(value, 1024);
	assert_int_equal(keyval_parse_size("16384G", &value), 0);
	assert_int_equal(value, 1ull << 44);
	assert_int_equal(keyval_parse_size("16777216T", &value), -ERANGE);
	assert_int_equal(keyval_parse_size("99999999999999999999", &value), -ERANGE);
	assert_int_equal(keyval_parse_size("", &value), -EINVAL);
	assert_int_equal(keyval_parse_size("M", &value), -EINVAL);
	assert_int_equal(keyval_parse_size("1MM", &value), -EINVAL);
	assert_int_equal(keyval_parse_size(" 1", &value), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_all_forms),
		cmocka_unit_test(test_names_what_is_wrong),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
