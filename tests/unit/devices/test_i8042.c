// SPDX-License-Identifier: BSD-2-Clause
#include "stand_ins.h"

static int setup(void **state)
{
	machine_create(NULL, NULL);
	return 0;
}

static int teardown(void **state)
{
	machine_destroy();
	return 0;
}

/* Linux waits until bit 1 is clear before each of its ten tries (kb_wait() in reboot.c). */
static void it_is_never_busy(void **state)
{
	assert_int_equal(machine.range.base, 0x64);
	assert_int_equal(machine.range.size, 1);
	assert_int_equal(port_read(0), 0);
	port_write(0, 0x20);
	assert_int_equal(port_read(0), 0);
}

static void the_reset_line_resets(void **state)
{
	port_write(0, 0xfe);
	assert_int_equal(machine.resets, 1);
	port_write(0, 0xf0); /* all lines */
	assert_int_equal(machine.resets, 2);
}

static void nothing_else_does(void **state)
{
	for (unsigned value = 0; value < 0xf0; value++)
		port_write(0, (uint8_t)value);
	port_write(0, 0xff);
	port_write(0, 0xfd);
	assert_int_equal(machine.resets, 0);
	assert_int_equal(machine.ended, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_never_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(the_reset_line_resets, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_else_does, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
