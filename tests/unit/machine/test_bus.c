// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "machine/bus.h"

struct record {
	uint64_t offset;
	unsigned length;
	unsigned accesses;
	struct bus *bus; /* to be changed from within an access */
};

static void access_record(void *opaque, uint64_t offset, void *data, unsigned length, bool is_write)
{
	struct record *record = opaque;

	record->offset = offset;
	record->length = length;
	record->accesses++;
	if (!is_write)
		memset(data, 0x5a, length);
	if (record->bus)
		assert_int_equal(bus_remove(record->bus, 0x100), 0);
}

static int setup(void **state)
{
	static struct bus bus;

	*state = &bus;
	return bus_init(&bus);
}

static int teardown(void **state)
{
	bus_destroy(*state);
	return 0;
}

static void test_dispatch_finds_the_range(void **state)
{
	struct record low = {0}, high = {0};
	struct bus *bus = *state;
	uint32_t value = 0;

	assert_int_equal(bus_add(bus, 0x2000, 0x10, access_record, &high), 0);
	assert_int_equal(bus_add(bus, 0x100, 8, access_record, &low), 0);
	assert_true(bus_dispatch(bus, 0x104, &value, 4, false));
	assert_int_equal(value, 0x5a5a5a5a);
	assert_int_equal(low.offset, 4);
	assert_true(bus_dispatch(bus, 0x200f, &value, 1, true));
	assert_int_equal(high.offset, 15);
	assert_int_equal(low.accesses, 1);
}

static void test_outside_and_across_reads_ones(void **state)
{
	struct record record = {0};
	struct bus *bus = *state;
	uint32_t value;

	assert_int_equal(bus_add(bus, 0x100, 8, access_record, &record), 0);
	for (uint64_t at = 0xff; at <= 0x108; at += 9) {
		value = 0;
		assert_false(bus_dispatch(bus, at, &value, 4, false));
		assert_int_equal(value, 0xffffffff);
	}
	value = 0;
	assert_false(bus_dispatch(bus, 0x106, &value, 4, false)); /* half in, half out */
	assert_int_equal(value, 0xffffffff);
	assert_false(bus_dispatch(bus, 0x106, &value, 4, true));
	assert_false(bus_dispatch(bus, UINT64_MAX, &value, 4, false));
	assert_int_equal(record.accesses, 0);
}

static void test_refuses_overlaps_and_wraps(void **state)
{
	struct bus *bus = *state;

	assert_int_equal(bus_add(bus, 0x100, 0x100, access_record, NULL), 0);
	assert_int_equal(bus_add(bus, 0x100, 1, access_record, NULL), -EEXIST);
	assert_int_equal(bus_add(bus, 0x1ff, 2, access_record, NULL), -EEXIST);
	assert_int_equal(bus_add(bus, 0x80, 0x81, access_record, NULL), -EEXIST);
	assert_int_equal(bus_add(bus, 0, 0x1000, access_record, NULL), -EEXIST);
	assert_int_equal(bus_add(bus, 0x80, 0x80, access_record, NULL), 0);
	assert_int_equal(bus_add(bus, 0x200, 1, access_record, NULL), 0);
	assert_int_equal(bus_add(bus, 5, 0, access_record, NULL), -EINVAL);
	assert_int_equal(bus_add(bus, UINT64_MAX, 2, access_record, NULL), -EINVAL);
	assert_int_equal(bus_add(bus, UINT64_MAX, 1, access_record, NULL), 0);
	assert_int_equal(bus_remove(bus, 0x101), -ENOENT);
	assert_int_equal(bus_remove(bus, 0x100), 0);
	assert_int_equal(bus_add(bus, 0x100, 1, access_record, NULL), 0);
}

static void test_an_access_may_change_the_bus(void **state)
{
	struct bus *bus = *state;
	struct record record = {.bus = bus};
	uint8_t value = 0;

	assert_int_equal(bus_add(bus, 0x100, 8, access_record, &record), 0);
	assert_int_equal(bus_add(bus, 0x200, 8, access_record, &record), 0);
	assert_true(bus_dispatch(bus, 0x200, &value, 1, true));
	assert_false(bus_dispatch(bus, 0x100, &value, 1, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dispatch_finds_the_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outside_and_across_reads_ones, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_refuses_overlaps_and_wraps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_access_may_change_the_bus, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
