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

static void a_panic_is_reported(void **state)
{
	assert_int_equal(machine.range.base, 0x505);
	assert_int_equal(machine.range.size, 1);
	assert_int_equal(port_read(0), 3);
	port_write(0, 0);
	port_write(0, 4);
	assert_int_equal(machine.panics, 0);
	port_write(0, 1);
	assert_int_equal(machine.panics, 1);
}

static void a_crash_kernel_is_no_end(void **state)
{
	machine.vm.log.level = -1; /* it warns */
	port_write(0, 2);
	assert_int_equal(machine.panics, 0);
	assert_int_equal(machine.ended, -1);
}

static void state_survives(void **state)
{
	port_write(0, 1);
	machine_save_and_load();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_panic_is_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_kernel_is_no_end, setup, teardown),
		cmocka_unit_test_setup_teardown(state_survives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
