// SPDX-License-Identifier: BSD-2-Clause
/* virtio-rng: fills, bounds its rate, survives bad sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guest.h"

#define DATA 0x40000ull

struct fixture {
	struct guest *guest;
	struct driver driver;
	struct ring ring;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->guest = guest_create();
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	guest_destroy(fixture->guest);
	free(fixture);
	return 0;
}

static void bring_up(struct fixture *fixture, const char *argument)
{
	struct error err = {""};

	if (guest_device_create(fixture->guest, "rng", argument, &err) < 0)
		fail_msg("%s", err.text);
	guest_loop_start(fixture->guest);
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	driver_msix_enable(&fixture->driver, 2);
	assert_true(driver_negotiate(&fixture->driver, 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
}

static int64_t ask(struct fixture *fixture, uint32_t length)
{
	ring_desc(&fixture->ring, 0, DATA, length, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	return ring_wait(&fixture->ring);
}

static void test_fills(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *data = guest_ram(fixture->guest, DATA, 8192);
	unsigned zeroes = 0;

	bring_up(fixture, NULL);
	assert_int_equal(ask(fixture, 64), 64);
	for (unsigned i = 0; i < 64; i++)
		zeroes += data[i] == 0;
	assert_true(zeroes < 16);
	assert_int_equal(data[64], 0);
	/* Never more than it would give in one go; the rest stays as it was. */
	assert_int_equal(ask(fixture, 8192), 4096);
	assert_int_equal(data[4096 + 64], 0);
}

static void test_nothing_to_fill(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture, NULL);
	ring_desc(&fixture->ring, 0, DATA, 64, 0, 0); /* only to be read */
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	assert_int_equal(ring_wait(&fixture->ring), 0);
	assert_int_equal(ask(fixture, 8), 8);
}

static void test_rate(void **state)
{
	struct fixture *fixture = *state;
	struct timespec before, after;
	uint64_t bytes = 0;

	bring_up(fixture, NULL);
	clock_gettime(CLOCK_MONOTONIC, &before);
	while (bytes < 256 * 1024) {
		int64_t got = ask(fixture, 4096);

		assert_true(got > 0);
		bytes += (uint64_t)got;
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	/* 64 KiB at once, then at most as much every 10 ms. */
	assert_true((after.tv_sec - before.tv_sec) * 1000 +
			    (after.tv_nsec - before.tv_nsec) / 1000000 >=
		    20);
	/* A reset while it waits. */
	ring_offer(&fixture->ring, 0);
	driver_reset(&fixture->driver);
	assert_true(driver_negotiate(&fixture->driver, 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
	assert_int_equal(ask(fixture, 16), 16);
}

static void test_sources(void **state)
{
	struct fixture *fixture = *state;
	struct error err = {""};

	assert_int_equal(guest_device_create(fixture->guest, "rng", "source=/nowhere", &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere"));
	assert_int_equal(guest_device_create(fixture->guest, "rng", "speed=3", &err), -EINVAL);
	bring_up(fixture, "source=/dev/zero");
	memset(guest_ram(fixture->guest, DATA, 16), 0xff, 16);
	assert_int_equal(ask(fixture, 16), 16);
	assert_int_equal(*(uint8_t *)guest_ram(fixture->guest, DATA + 15, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fills),
		TEST(test_nothing_to_fill),
		TEST(test_rate),
		TEST(test_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
