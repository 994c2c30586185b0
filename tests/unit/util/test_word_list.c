// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "util/word_list.h"

static void words_are_joined(void **state)
{
	char text[32] = "";

	word_list_add(text, sizeof(text), ", ", "copy");
	assert_string_equal(text, "copy");
	word_list_add(text, sizeof(text), ", ", "grant");
	word_list_add(text, sizeof(text), " or ", "map");
	assert_string_equal(text, "copy, grant or map");
}

static void a_long_list_is_cut(void **state)
{
	char text[9] = "";

	memset(text + 1, 'x', sizeof(text) - 1);
	for (unsigned i = 0; i < 5; i++)
		word_list_add(text, 8, "|", "abc");
	assert_string_equal(text, "abc|abc");
	assert_int_equal(text[8], 'x');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_joined),
		cmocka_unit_test(a_long_list_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
