// SPDX-License-Identifier: BSD-2-Clause
/* virtio-console: a guest's long output is written in pieces, and others come in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

#define DATA	  0x80000ull
#define LENGTH	  65536u
#define TRANSMIT  1u
#define FEATURES  (1ull << VIRTIO_F_VERSION_1)
#define QUEUE_GPA 0x20000ull

struct fixture {
	struct guest *guest;
	struct driver driver;
	struct ring receive, transmit;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err = {""};

	fixture->guest = guest_create();
	if (guest_device_create(fixture->guest, "virtio-console", "none", &err) < 0)
		fail_msg("%s", err.text);
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	driver_msix_enable(&fixture->driver, 3);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->receive, 0, 0x10000);
	ring_setup(&fixture->driver, &fixture->transmit, TRANSMIT, QUEUE_GPA);
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

static void offer_much(struct fixture *fixture)
{
	ring_desc(&fixture->transmit, 0, DATA, LENGTH, 0, 0);
	for (unsigned i = 0; i < GUEST_SIZE; i++)
		ring_offer(&fixture->transmit, 0);
}

/* One turn on the loop is bounded; the rest follows without another kick. */
static void a_full_queue_has_turns(void **state)
{
	struct fixture *fixture = *state;
	unsigned used;

	offer_much(fixture);
	/* No thread runs the loop yet, so this is one turn. */
	driver_ok(&fixture->driver);
	used = ring_used(&fixture->transmit);
	assert_in_range(used, 1, GUEST_SIZE / 4);
	guest_loop_start(fixture->guest);
	for (unsigned i = 0; i < 5000 && ring_used(&fixture->transmit) < GUEST_SIZE; i++)
		usleep(1000);
	assert_int_equal(ring_used(&fixture->transmit), GUEST_SIZE);
	assert_int_equal(atomic_load(&guest_virtio(fixture->guest)->queues[TRANSMIT].kicks), 0);
}

/* A device that was stopped for a save does not get its next turn. */
static void a_turn_waits_for_a_save(void **state)
{
	struct fixture *fixture = *state;
	struct serialize_writer writer = {0};
	struct device *device;
	unsigned used;

	offer_much(fixture);
	driver_ok(&fixture->driver);
	used = ring_used(&fixture->transmit);
	assert_true(used < GUEST_SIZE);
	device = &guest_virtio(fixture->guest)->device;
	assert_int_equal(device->ops->save(device, &writer), 0);
	guest_loop_start(fixture->guest);
	guest_loop_settle(fixture->guest);
	usleep(20000);
	guest_loop_settle(fixture->guest);
	assert_int_equal(ring_used(&fixture->transmit), used);
	device->ops->resume(device);
	for (unsigned i = 0; i < 5000 && ring_used(&fixture->transmit) < GUEST_SIZE; i++)
		usleep(1000);
	assert_int_equal(ring_used(&fixture->transmit), GUEST_SIZE);
	serialize_writer_free(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_full_queue_has_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(a_turn_waits_for_a_save, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
