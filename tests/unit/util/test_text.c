// SPDX-License-Identifier: BSD-2-Clause
/* Text of guests, files and VMs in the form that people see. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/text.h"

/* The shown form of @text, in a buffer of this function. */
static const char *escaped_bytes(const char *text, size_t length)
{
	static char out[512];

	text_escape(out, sizeof(out), text, length, SIZE_MAX, 0);
	return out;
}

static const char *escaped(const char *text)
{
	return escaped_bytes(text, strlen(text));
}

static int utf8(void **state)
{
	return setlocale(LC_CTYPE, "C.UTF-8") ? 0 : -1;
}

static int plain(void **state)
{
	return setlocale(LC_CTYPE, "C") ? 0 : -1;
}

static void controls_are_shown_not_run(void **state)
{
	assert_string_equal(escaped("\033]52;c;bHM=\a"), "\\x1b]52;c;bHM=\\x07");
	assert_string_equal(escaped("a\rb\nc\td\x7f"), "a\\x0db\\x0ac\\x09d\\x7f");
	assert_string_equal(escaped_bytes("a\0b", 3), "a\\x00b");
	assert_string_equal(escaped(""), "");
}

static void c1_controls_are_shown_in_every_encoding(void **state)
{
	/* CSI as one byte, as UTF-8, and in forms that only a careless decoder takes. */
	assert_string_equal(escaped("\x9b"
				    "31m"),
			    "\\x9b31m");
	assert_string_equal(escaped("\xc2\x9b"
				    "31m"),
			    "\\u{9b}31m");
	assert_string_equal(escaped("\xe0\x82\x9b"), "\\xe0\\x82\\x9b");
	assert_string_equal(escaped("\xc0\x9b"), "\\xc0\\x9b");
	assert_string_equal(escaped("\xc2\x80\xc2\x85\xc2\x9f"), "\\u{80}\\u{85}\\u{9f}");
}

static void each_byte_that_is_no_utf8_is_shown(void **state)
{
	assert_string_equal(escaped("\xff\xfe"), "\\xff\\xfe");
	assert_string_equal(escaped("\xc3"), "\\xc3");
	assert_string_equal(escaped("\xc3("), "\\xc3(");
	assert_string_equal(escaped("\xc0\xaf"), "\\xc0\\xaf");		 /* overlong "/" */
	assert_string_equal(escaped("\xe0\x80\x8a"), "\\xe0\\x80\\x8a"); /* overlong newline */
	assert_string_equal(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80"); /* a surrogate */
	assert_string_equal(escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); /* U+110000 */
	assert_string_equal(escaped("\xf0\x9f\x98"), "\\xf0\\x9f\\x98");
}

static void a_backslash_cannot_be_taken_for_an_escape(void **state)
{
	char out[32];

	assert_string_equal(escaped("\\x1b"), "\\\\x1b");
	assert_string_equal(escaped("\\\033"), "\\\\\\x1b");
	text_escape(out, sizeof(out), "a\\\"b\n", 5, 20, TEXT_KEEP_BACKSLASH);
	assert_string_equal(out, "a\\\"b\\x0a");
}

static void letters_stay_and_invisible_characters_do_not(void **state)
{
	static const char *const hidden[][2] = {
		{"\xe2\x80\xae", "\\u{202e}"},
		{"\xe2\x80\xaa", "\\u{202a}"},
		{"\xe2\x81\xa6", "\\u{2066}"},
		{"\xe2\x81\xa9", "\\u{2069}"},
		{"\xe2\x80\xa8", "\\u{2028}"},
		{"\xe2\x80\xa9", "\\u{2029}"},
		{"\xe2\x80\x8b", "\\u{200b}"},
		{"\xe2\x80\x8d", "\\u{200d}"},
		{"\xe2\x80\x8f", "\\u{200f}"},
		{"\xd8\x9c", "\\u{61c}"},
		{"\xef\xbb\xbf", "\\u{feff}"},
		{"\xc2\xad", "\\u{ad}"},
		{"\xc2\xa0", "\\u{a0}"},
		{"\xe3\x80\x80", "\\u{3000}"},
		{"\xcc\x81", "\\u{301}"},
		{"\xee\x80\x80", "\\u{e000}"},
		{"\xf3\xa0\x81\xa1", "\\u{e0061}"},
		{"\xf4\x8f\xbf\xbd", "\\u{10fffd}"},
		{"\xef\xbf\xbe", "\\u{fffe}"},
		{"\xf0\x9d\x85\xb3", "\\u{1d173}"},
	};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		assert_string_equal(escaped(hidden[i][0]), hidden[i][1]);
	assert_string_equal(escaped("na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac"),
			    "na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac");
}

static void other_encodings_get_ascii_only(void **state)
{
	/* U+011B is c4 9b: on a terminal with 8-bit characters the second byte is CSI. */
	assert_string_equal(escaped("\xc4\x9b"
				    "31m"),
			    "\\u{11b}31m");
	assert_string_equal(escaped("\xf0\x9f\x98\x80"), "\\u{1f600}");
	assert_string_equal(escaped("plain"), "plain");
}

static void width_is_bounded_and_counted(void **state)
{
	char out[64];

	assert_int_equal(text_escape(out, sizeof(out), "abcdef", 6, 6, 0), 6);
	assert_string_equal(out, "abcdef");
	assert_int_equal(text_escape(out, sizeof(out), "abcdefg", 7, 6, 0), 6);
	assert_string_equal(out, "abc...");
	/* An escape is never cut in two. */
	assert_int_equal(text_escape(out, sizeof(out), "a\033bcdefg", 8, 6, 0), 4);
	assert_string_equal(out, "a...");
	/* A wide character has two columns. */
	assert_int_equal(text_escape(out, sizeof(out), "\xe6\x97\xa5\xe6\x9c\xac", 6, 20, 0), 4);
	assert_int_equal(
		text_escape(out, sizeof(out), "\xe6\x97\xa5\xe6\x9c\xac\xe6\x9c\xac", 9, 5, 0), 5);
	assert_string_equal(out, "\xe6\x97\xa5...");
}

static void a_buffer_is_never_overrun(void **state)
{
	char text[300], out[320];

	memset(text, '\033', sizeof(text));
	for (size_t size = 16; size < 310; size++) {
		memset(out, 'z', sizeof(out));
		text_escape(out, size, text, sizeof(text), SIZE_MAX, 0);
		assert_non_null(memchr(out, '\0', size));
		assert_int_equal(out[size], 'z');
		assert_string_equal(out + strlen(out) - 3, "...");
	}
}

static void the_allocated_form_is_whole(void **state)
{
	char text[4097];
	size_t columns;
	char *out;

	memset(text, 1, sizeof(text));
	text[4096] = '\0';
	out = text_escape_new(text, 0, &columns);
	assert_int_equal(columns, 4 * 4096);
	assert_int_equal(strlen(out), 4 * 4096);
	free(out);
	for (size_t i = 0; i + 4 <= 4096; i += 4)
		memcpy(text + i, "\xf4\x8f\xbf\xbd", 4);
	out = text_escape_new(text, 0, &columns);
	assert_int_equal(strlen(out), 10 * 1024);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(controls_are_shown_not_run, utf8),
		cmocka_unit_test_setup(c1_controls_are_shown_in_every_encoding, utf8),
		cmocka_unit_test_setup(each_byte_that_is_no_utf8_is_shown, utf8),
		cmocka_unit_test_setup(a_backslash_cannot_be_taken_for_an_escape, utf8),
		cmocka_unit_test_setup(letters_stay_and_invisible_characters_do_not, utf8),
		cmocka_unit_test_setup(other_encodings_get_ascii_only, plain),
		cmocka_unit_test_setup(width_is_bounded_and_counted, utf8),
		cmocka_unit_test_setup(a_buffer_is_never_overrun, utf8),
		cmocka_unit_test_setup(the_allocated_form_is_whole, utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
