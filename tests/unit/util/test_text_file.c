// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/text_file.h"

static void a_file_is_read_from_its_start_whatever_its_offset(void **state)
{
	int fd = memfd_create("text", MFD_CLOEXEC);
	char text[16];

	assert_int_equal(write(fd, "12\n34\n", 6), 6);
	for (unsigned i = 0; i < 2; i++) {
		memset(text, 'x', sizeof(text));
		assert_int_equal(text_file_read_fd(fd, text, sizeof(text)), 6);
		assert_string_equal(text, "12\n34\n");
	}
	close(fd);
}

static void the_text_ends_within_its_buffer(void **state)
{
	int fd = memfd_create("text", MFD_CLOEXEC);
	char text[6] = "xxxxx";

	assert_int_equal(write(fd, "123456789", 9), 9);
	assert_int_equal(text_file_read_fd(fd, text, 5), 4);
	assert_string_equal(text, "1234");
	assert_int_equal(text_file_read_fd(fd, text, 1), 0);
	assert_string_equal(text, "");
	close(fd);
}

static void an_error_leaves_an_empty_text(void **state)
{
	char text[] = "old";

	assert_int_equal(text_file_read("/nonexistent/file", text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
	strcpy(text, "old");
	assert_int_equal(text_file_read("/proc/self", text, sizeof(text)), -EISDIR);
	assert_string_equal(text, "");
	strcpy(text, "old");
	assert_int_equal(text_file_read_fd(-1, text, sizeof(text)), -EBADF);
	assert_string_equal(text, "");
}

static void a_file_of_the_kernel_is_read(void **state)
{
	char text[32];

	assert_true(text_file_read("/proc/self/comm", text, sizeof(text)) > 0);
	assert_non_null(strchr(text, '\n'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read_from_its_start_whatever_its_offset),
		cmocka_unit_test(the_text_ends_within_its_buffer),
		cmocka_unit_test(an_error_leaves_an_empty_text),
		cmocka_unit_test(a_file_of_the_kernel_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
