// SPDX-License-Identifier: BSD-2-Clause
#include "stand_ins.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic long ahead; /* seconds that the host's clock is wrong by */

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int status = (int)syscall(SYS_clock_gettime, clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += ahead;
	return status;
}

time_t time(time_t *now)
{
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	return real.tv_sec;
}

static int setup(void **state)
{
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

static uint8_t get(uint8_t index)
{
	port_write(0, index);
	return port_read(1);
}

static void set(uint8_t index, uint8_t value)
{
	port_write(0, index);
	port_write(1, value);
}

static unsigned from_bcd(uint8_t value)
{
	return (value >> 4) * 10u + (value & 15);
}

/* The clock in BCD and 24 hours, read by the rules. */
static time_t read_clock(void)
{
	struct tm tm;
	uint8_t second;

	do {
		while (get(10) & 0x80)
			;
		second = get(0);
		tm = (struct tm){
			.tm_sec = (int)from_bcd(second),
			.tm_min = (int)from_bcd(get(2)),
			.tm_hour = (int)from_bcd(get(4)),
			.tm_mday = (int)from_bcd(get(7)),
			.tm_mon = (int)from_bcd(get(8)) - 1,
			.tm_year = (int)(from_bcd(get(9)) + 100 * from_bcd(get(0x32))) - 1900,
		};
	} while (second != get(0));
	return timegm(&tm);
}

static void shows_the_hosts_time(void **state)
{
	time_t before = time(NULL), clock = read_clock();

	assert_in_range(clock, before, time(NULL));
	assert_int_equal(get(11), 0x02);
	assert_int_equal(get(13), 0x80);
	assert_int_equal(get(10) & 0x7f, 0x26);
}

static void write_clock(void)
{
	set(11, 0x82);
	set(0, 0x30);
	set(2, 0x59);
	set(4, 0x23);
	set(7, 0x29);
	set(8, 0x02);
	set(9, 0x24);
	set(0x32, 0x20);
	assert_int_equal(get(0), 0x30); /* frozen while being set */
	set(11, 0x02);
}

static void can_be_set(void **state)
{
	time_t expected = 1709251170; /* 2024-02-29 23:59:30 */

	write_clock();
	assert_in_range(read_clock(), expected, expected + 2);
	machine.device->ops->reset(machine.device);
	assert_in_range(read_clock(), expected, expected + 2); /* it has a battery */
}

static void knows_twelve_hours_and_binary(void **state)
{
	write_clock();
	set(11, 0x00);
	assert_int_equal(get(4), 0x91); /* 11 pm in BCD */
	set(11, 0x04);
	assert_int_equal(get(4), 0x8b);
	assert_int_equal(get(2), 59);
	set(11, 0x06);
	assert_int_equal(get(4), 23);
	set(4, 0);
	assert_int_equal(get(4), 0);
	set(11, 0x00);
	assert_int_equal(get(4), 0x12); /* midnight is 12 am */
}

static void updates_and_alarms_interrupt(void **state)
{
	set(1, 0xff); /* each second */
	set(3, 0xff);
	set(5, 0xff);
	get(12);
	assert_false(machine.line);
	set(11, 0x22);
	for (unsigned i = 0; i < 1500 && !machine.line; i++)
		usleep(1000);
	assert_true(machine.line);
	assert_int_equal(machine.gsi, IRQ_GSI_RTC);
	assert_int_equal(get(12), 0xb0);
	assert_false(machine.line);
	assert_int_equal(get(12), 0);
	set(11, 0x42); /* it has no periodic interrupt, and does not claim to */
	assert_int_equal(get(11), 0x02);
}

/* The host's clock goes back by an hour while the timer waits. Seconds still pass. */
static void a_host_clock_that_is_set_back_does_not_silence_it(void **state)
{
	ahead = 3600;
	get(12);
	set(11, 0x12);
	ahead = 0;
	for (unsigned i = 0; i < 20000 && !machine.line; i++)
		usleep(1000);
	assert_true(machine.line);
	get(12);
	for (unsigned i = 0; i < 20000 && !machine.line; i++)
		usleep(1000);
	assert_true(machine.line);
}

static void state_survives(void **state)
{
	write_clock();
	set(0x40, 0x5a);
	machine_save_and_load();
	assert_int_equal(get(0x40), 0x5a);
	assert_in_range(read_clock(), 1709251170, 1709251173);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shows_the_hosts_time, setup, teardown),
		cmocka_unit_test_setup_teardown(can_be_set, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_twelve_hours_and_binary, setup, teardown),
		cmocka_unit_test_setup_teardown(updates_and_alarms_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(a_host_clock_that_is_set_back_does_not_silence_it,
						setup, teardown),
		cmocka_unit_test_setup_teardown(state_survives, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
