// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "util/serialize.h"

static void test_comes_back(void **state)
{
	struct serialize_writer writer = {0};
	struct serialize_reader reader;
	char text[6];

	serialize_put_u8(&writer, 0x12);
	serialize_put_u16(&writer, 0x3456);
	serialize_put_u32(&writer, 0x789abcde);
	serialize_put_u64(&writer, 0x0123456789abcdefull);
	serialize_put_bytes(&writer, "slots", 6);
	assert_int_equal(writer.status, 0);
	assert_int_equal(writer.length, 1 + 2 + 4 + 8 + 6);
	reader = (struct serialize_reader){.data = writer.data, .length = writer.length};
	assert_int_equal(serialize_get_u8(&reader), 0x12);
	assert_int_equal(serialize_get_u16(&reader), 0x3456);
	assert_int_equal(serialize_get_u32(&reader), 0x789abcde);
	assert_int_equal(serialize_get_u64(&reader), 0x0123456789abcdefull);
	serialize_get_bytes(&reader, text, sizeof(text));
	assert_string_equal(text, "slots");
	assert_int_equal(reader.status, 0);
	serialize_writer_free(&writer);
}

static void test_short_stream_is_an_error_for_good(void **state)
{
	const uint8_t data[3] = {1, 2, 3};
	struct serialize_reader reader = {.data = data, .length = sizeof(data)};

	assert_int_equal(serialize_get_u32(&reader), 0);
	assert_int_equal(reader.status, -EINVAL);
	assert_int_equal(serialize_get_u8(&reader), 0);
	assert_int_equal(reader.status, -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_short_stream_is_an_error_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
