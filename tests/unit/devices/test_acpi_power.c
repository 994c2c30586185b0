// SPDX-License-Identifier: BSD-2-Clause
/* The power button of a guest that does not react at once, since it still boots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "stand_ins.h"

#define SLEEP_CONTROL 0
#define EVENTS	      3
#define POWER_OFF     (0x20 | 5 << 2)

static _Atomic unsigned resumed;

void vm_resume_later(struct vm *vm)
{
	resumed++;
}

static int setup(void **state)
{
	resumed = 0;
	machine_create(NULL, NULL);
	machine_run_loop();
	return 0;
}

static int teardown(void **state)
{
	machine_stop_loop();
	machine_destroy();
	return 0;
}

struct request {
	unsigned seconds;
	int status;
};

static void power_off(void *opaque)
{
	struct request *request = opaque;

	request->status = vm_power_off(&machine.vm, request->seconds);
}

static void ask(unsigned seconds)
{
	struct request request = {.seconds = seconds};

	assert_int_equal(event_loop_call(machine.vm.main_loop, power_off, &request), 0);
	assert_int_equal(request.status, 0);
}

/* Waits for more presses than @count. */
static void await_more(unsigned count)
{
	for (unsigned i = 0; i < 20000 && *(volatile unsigned *)&machine.raised <= count; i++)
		usleep(1000);
	assert_true(*(volatile unsigned *)&machine.raised > count);
}

static void it_is_pressed_until_the_guest_hears(void **state)
{
	ask(1000);
	assert_true(machine.raised >= 1);
	assert_int_equal(resumed, 1);
	assert_int_equal(machine.gsi, IRQ_GSI_ACPI);
	/* The guest could have lost each of these presses. */
	await_more(1);
	await_more(2);
	assert_int_equal(port_read(EVENTS), 1);
	assert_int_equal(port_read(EVENTS), 0);
}

static void it_is_pressed_again_where_the_driver_was_not_there_yet(void **state)
{
	unsigned presses;

	ask(1000);
	assert_int_equal(port_read(EVENTS), 1);
	presses = *(volatile unsigned *)&machine.raised;
	await_more(presses);
	port_write(SLEEP_CONTROL, POWER_OFF);
	assert_int_equal(machine.ended, VM_END_POWEROFF);
}

static void it_is_left_alone_after_its_time(void **state)
{
	unsigned presses;

	ask(0);
	usleep(1200000);
	presses = *(volatile unsigned *)&machine.raised;
	usleep(1500000);
	assert_int_equal(*(volatile unsigned *)&machine.raised, presses);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(it_is_pressed_until_the_guest_hears),
		CASE(it_is_pressed_again_where_the_driver_was_not_there_yet),
		CASE(it_is_left_alone_after_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
