// SPDX-License-Identifier: BSD-2-Clause
/* virtio over PCI: registers, negotiation, kicks, reset, state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "util/container_of.h"

#define FEATURE	 5u
#define DATA	 0x40000ull
#define FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << FEATURE)

/* Answers each request with the bytes that it read. */
struct echo {
	struct virtio_device virtio;
	unsigned activations, quiesces, resets;
	uint32_t written_config;
	int activate_status;
};

struct fixture {
	struct guest *guest;
	struct echo *echo;
	struct driver driver;
	struct ring ring;
};

static struct echo *to_echo(struct virtio_device *device)
{
	return container_of(device, struct echo, virtio);
}

static int echo_activate(struct virtio_device *device)
{
	struct echo *echo = to_echo(device);

	echo->activations++;
	return echo->activate_status;
}

static void echo_notified(struct virtio_device *device, struct virtio_queue *queue)
{
	struct iovec iov[GUEST_SIZE];
	struct virtio_chain chain = {.iov = iov, .iov_max = GUEST_SIZE};
	uint8_t data[64];

	do {
		virtio_queue_notify_disable(queue);
		while (virtio_queue_pop(queue, &chain) > 0) {
			size_t length = virtio_chain_read(&chain, 0, data, sizeof(data));

			length = virtio_chain_write(&chain, 0, data, length);
			virtio_queue_push(queue, &chain, (uint32_t)length);
		}
		virtio_queue_flush(queue);
	} while (virtio_queue_notify_enable(queue));
}

static void echo_quiesce(struct virtio_device *device)
{
	to_echo(device)->quiesces++;
}

static void echo_reset(struct virtio_device *device)
{
	to_echo(device)->resets++;
}

static void echo_destroy(struct virtio_device *device)
{
	free(device);
}

static void echo_config_written(struct virtio_device *device, unsigned offset, const void *data,
				unsigned length)
{
	memcpy(&to_echo(device)->written_config, data, length);
}

static const struct virtio_ops echo_ops = {
	.name = "virtio-echo",
	.id = 62,
	.class_code = 0xff0000,
	.version = 1,
	.activate = echo_activate,
	.notified = echo_notified,
	.quiesce = echo_quiesce,
	.reset = echo_reset,
	.destroy = echo_destroy,
	.config_written = echo_config_written,
};

static const struct virtio_device_config echo_config = {
	.ops = &echo_ops,
	.name = "echo",
	.features = 1ull << FEATURE,
	.queue_count = 2,
	.queue_size = GUEST_SIZE,
	.space = "config!",
	.space_size = 8,
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	fixture->guest = guest_create();
	fixture->echo = calloc(1, sizeof(*fixture->echo));
	assert_int_equal(virtio_device_create(&fixture->guest->vm, &fixture->echo->virtio,
					      &echo_config, &err),
			 0);
	assert_string_equal(fixture->echo->virtio.device.name, "echo0");
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	guest_loop_start(fixture->guest);
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

static void bring_up(struct fixture *fixture)
{
	driver_msix_enable(&fixture->driver, 3);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
}

static void echo_once(struct fixture *fixture)
{
	memcpy(guest_ram(fixture->guest, DATA, 8), "hello123", 8);
	memset(guest_ram(fixture->guest, DATA + 64, 8), 0, 8);
	ring_desc(&fixture->ring, 0, DATA, 8, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, DATA + 64, 8, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	assert_int_equal(ring_wait(&fixture->ring), 8);
	assert_memory_equal(guest_ram(fixture->guest, DATA + 64, 8), "hello123", 8);
}

static uint64_t common(struct fixture *fixture, unsigned offset, unsigned length)
{
	return guest_read(fixture->guest, fixture->driver.common + offset, length);
}

static void common_set(struct fixture *fixture, unsigned offset, uint64_t value, unsigned length)
{
	guest_write(fixture->guest, fixture->driver.common + offset, value, length);
}

static void test_round_trip(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(driver_features(&fixture->driver),
			 FEATURES | 1ull << VIRTIO_RING_F_EVENT_IDX |
				 1ull << VIRTIO_RING_F_INDIRECT_DESC);
	bring_up(fixture);
	echo_once(fixture);
	assert_int_equal(guest_read(fixture->guest, fixture->driver.isr, 1), 1);
	assert_int_equal(guest_read(fixture->guest, fixture->driver.isr, 1), 0);
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 1);
	driver_reset(&fixture->driver);
	assert_int_equal(fixture->echo->quiesces, 1);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	bring_up(fixture);
	echo_once(fixture);
	assert_int_equal(fixture->echo->activations, 2);
}

static void test_negotiation(void **state)
{
	struct fixture *fixture = *state;

	/* The device accepts neither a feature that it did not offer, nor a legacy driver. */
	assert_false(driver_negotiate(&fixture->driver, FEATURES | 1ull << 7));
	driver_ok(&fixture->driver);
	assert_int_equal(driver_status(&fixture->driver) & VIRTIO_CONFIG_S_DRIVER_OK, 0);
	driver_reset(&fixture->driver);
	assert_false(driver_negotiate(&fixture->driver, 1ull << FEATURE));
	driver_reset(&fixture->driver);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	/* Features stay as they were agreed. */
	common_set(fixture, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
	common_set(fixture, VIRTIO_PCI_COMMON_GF, 0xffffffff, 4);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_GF, 4), 1u << FEATURE);
	common_set(fixture, VIRTIO_PCI_COMMON_GFSELECT, 2, 4);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_GF, 4), 0);
	common_set(fixture, VIRTIO_PCI_COMMON_DFSELECT, 0xffffffff, 4);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_DF, 4), 0);
	assert_int_equal(fixture->echo->activations, 0);
}

static void test_queue_registers(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_SIZE, 2), GUEST_SIZE);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_NOFF, 2), 1);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_MSIX, 3, 2); /* there are 0 to 2 */
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_MSIX, 2), 0xffff);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_MSIX, 2), 2);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_DESCLO, 0x1122334455667788, 8);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_AVAILHI, 0x99aabbcc, 4);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_USEDLO, 0xddeeff00, 4);
	assert_true(common(fixture, VIRTIO_PCI_COMMON_Q_DESCLO, 8) == 0x1122334455667788);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0x11223344);
	assert_true(common(fixture, VIRTIO_PCI_COMMON_Q_AVAILLO, 8) == 0x99aabbcc00000000);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_USEDLO, 4), 0xddeeff00);
	/* Enabled: fixed. */
	common_set(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_USEDLO, 0, 4);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_USEDLO, 4), 0xddeeff00);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	/* No such queue. */
	for (unsigned index = 2; index < 0x10000; index += 0x1fff) {
		common_set(fixture, VIRTIO_PCI_COMMON_Q_SELECT, index, 2);
		assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
		common_set(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
		common_set(fixture, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
		assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	}
	/* An access of another width than the register's has no effect. */
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_NUMQ, 1), 0xff);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_STATUS, 4), 0xffffffff);
	assert_int_equal(common(fixture, 0x38, 4), 0xffffffff);
}

static void test_bad_queue_fails_device(void **state)
{
	struct fixture *fixture = *state;

	driver_msix_enable(&fixture->driver, 3);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_SELECT, 1, 2);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_DESCLO, GUEST_RAM_SIZE, 4);
	common_set(fixture, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	driver_ok(&fixture->driver);
	assert_true(driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_interrupts(fixture->guest, 0x40), 1);
	assert_int_equal(guest_read(fixture->guest, fixture->driver.isr, 1), 2);
	assert_int_equal(guest_log_lines(fixture->guest), 1);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	driver_reset(&fixture->driver);
	bring_up(fixture);
	echo_once(fixture);
}

static void test_activation_fails(void **state)
{
	struct fixture *fixture = *state;

	fixture->echo->activate_status = -EIO;
	bring_up(fixture);
	assert_true(driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	fixture->echo->activate_status = 0;
	driver_reset(&fixture->driver);
	bring_up(fixture);
	echo_once(fixture);
}

static void test_broken_request_fails_device(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture);
	for (unsigned i = 0; i < 3; i++) {
		ring_offer(&fixture->ring, 999);
		ring_kick(&fixture->ring);
		for (unsigned wait = 0; wait < 1000 && !(driver_status(&fixture->driver) &
							 VIRTIO_CONFIG_S_NEEDS_RESET);
		     wait++)
			usleep(1000);
		guest_loop_settle(fixture->guest); /* the line follows the state */
		assert_int_equal(guest_log_lines(fixture->guest), i + 1);
		driver_reset(&fixture->driver);
		bring_up(fixture);
	}
	echo_once(fixture);
}

static void test_config_space(void **state)
{
	struct fixture *fixture = *state;
	uint64_t config = fixture->driver.config;
	uint64_t generation = common(fixture, VIRTIO_PCI_COMMON_CFGGENERATION, 1);

	assert_int_equal(guest_read(fixture->guest, config, 1), 'c');
	assert_int_equal(guest_read(fixture->guest, config + 6, 2), '!');
	assert_int_equal(guest_read(fixture->guest, config + 5, 4), 0xffffffff); /* beyond it */
	assert_int_equal(guest_read(fixture->guest, config + 8, 1), 0xff);
	assert_int_equal(guest_read(fixture->guest, config + 0xffc, 4), 0xffffffff);
	guest_write(fixture->guest, config + 4, 0x12345678, 4);
	assert_int_equal(fixture->echo->written_config, 0x12345678);
	guest_write(fixture->guest, config + 6, 0, 4);
	assert_int_equal(fixture->echo->written_config, 0x12345678);
	driver_msix_enable(&fixture->driver, 3);
	virtio_device_config_update(&fixture->echo->virtio, 1, "X", 1);
	assert_int_equal(guest_read(fixture->guest, config + 1, 1), 'X');
	assert_int_equal(guest_interrupts(fixture->guest, 0x40), 1);
	assert_int_not_equal(common(fixture, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation);
	virtio_device_config_update(&fixture->echo->virtio, 7, "abc", 3);
	assert_int_equal(guest_read(fixture->guest, config + 7, 1), 0);
}

static uint32_t window_read(struct fixture *fixture, uint8_t bar, uint32_t offset, uint32_t length)
{
	unsigned at = fixture->driver.window;

	guest_config_write(fixture->guest, 1, at + VIRTIO_PCI_CAP_BAR, bar, 1);
	guest_config_write(fixture->guest, 1, at + VIRTIO_PCI_CAP_OFFSET, offset, 4);
	guest_config_write(fixture->guest, 1, at + VIRTIO_PCI_CAP_LENGTH, length, 4);
	return guest_config_read(fixture->guest, 1, at + 16, 4);
}

static void test_window(void **state)
{
	struct fixture *fixture = *state;
	unsigned at = fixture->driver.window;

	assert_int_equal(window_read(fixture, 1, VIRTIO_PCI_COMMON_NUMQ, 2) & 0xffff, 2);
	window_read(fixture, 1, VIRTIO_PCI_COMMON_Q_SELECT, 2);
	guest_config_write(fixture->guest, 1, at + 16, 1, 2);
	assert_int_equal(common(fixture, VIRTIO_PCI_COMMON_Q_SELECT, 2), 1);
	/* Any access that does not fit has no effect. */
	for (unsigned bar = 0; bar < 256; bar++) {
		window_read(fixture, (uint8_t)bar, 0xfffffffc, 4);
		window_read(fixture, (uint8_t)bar, 0x4000, 4);
		window_read(fixture, (uint8_t)bar, 0, 3);
		window_read(fixture, (uint8_t)bar, 0, 0xffffffff);
		window_read(fixture, (uint8_t)bar, 0, 0);
		window_read(fixture, (uint8_t)bar, 1, 2);
	}
	/* A kick through it. */
	bring_up(fixture);
	ring_desc(&fixture->ring, 0, DATA, 4, 0, 0);
	ring_offer(&fixture->ring, 0);
	window_read(fixture, 0, 0, 2);
	guest_config_write(fixture->guest, 1, at + 16, 0, 2);
	assert_int_equal(ring_wait(&fixture->ring), 0);
	/* A reset through it, with the PCI bus's lock held. */
	window_read(fixture, 1, VIRTIO_PCI_COMMON_STATUS, 1);
	guest_config_write(fixture->guest, 1, at + 16, 0, 1);
	assert_int_equal(driver_status(&fixture->driver), 0);
}

static void test_kicks_for_nobody(void **state)
{
	struct fixture *fixture = *state;
	uint64_t value = 0;

	for (uint16_t offset = 0; offset < 8; offset++)
		bus_dispatch(&fixture->guest->vm.pio, fixture->driver.notify + offset, &value, 1,
			     true);
	bring_up(fixture);
	/* Queue 1 is not enabled. */
	bus_dispatch(&fixture->guest->vm.pio, fixture->driver.notify + 4u, &value, 2, true);
	echo_once(fixture);
	driver_reset(&fixture->driver);
	ring_kick(&fixture->ring);
	assert_int_equal(driver_status(&fixture->driver), 0);
}

/* Places of the doorbells, for those who catch them. */
static void expect_doorbell(struct fixture *fixture, uint64_t port, unsigned queue)
{
	struct doorbell_place place;

	assert_true(doorbell_find(&fixture->guest->vm, port, &place));
	assert_string_equal(place.device, "echo0");
	assert_int_equal(place.queue, queue);
}

static void test_doorbells_follow_the_bar(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->guest->vm;
	uint16_t old = fixture->driver.notify, moved = (uint16_t)(old + 0x100);
	struct doorbell_place place;

	expect_doorbell(fixture, old, 0);
	expect_doorbell(fixture, old + 4u, 1);
	assert_false(doorbell_find(vm, old + 2u, &place));
	assert_false(doorbell_find(vm, old + 8u, &place));
	doorbells_catch(vm);
	guest_config_write(fixture->guest, 1, PCI_BASE_ADDRESS_0, moved, 4);
	assert_false(doorbell_find(vm, old, &place));
	expect_doorbell(fixture, moved, 0);
	/* Decoding off, on, and the machine's reset. */
	guest_config_write(fixture->guest, 1, PCI_COMMAND, 0, 2);
	assert_false(doorbell_find(vm, moved, &place));
	guest_config_write(fixture->guest, 1, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
	expect_doorbell(fixture, moved, 0);
	fixture->echo->virtio.device.ops->reset(&fixture->echo->virtio.device);
	assert_false(doorbell_find(vm, moved, &place));
	doorbells_release(vm);
}

/* A kick at a doorbell that is caught reaches the device by its port. */
static void test_caught_kicks_reach_the_device(void **state)
{
	struct fixture *fixture = *state;

	doorbells_catch(&fixture->guest->vm);
	bring_up(fixture);
	echo_once(fixture);
	doorbells_release(&fixture->guest->vm);
	echo_once(fixture);
}

static void save(struct fixture *fixture, struct serialize_writer *writer)
{
	struct device *device = &fixture->echo->virtio.device;

	assert_int_equal(device->ops->save(device, writer), 0);
}

static int load(struct fixture *fixture, const void *data, size_t length)
{
	struct device *device = &fixture->echo->virtio.device;
	struct serialize_reader reader = {.data = data, .length = length};

	return device->ops->load(device, &reader, 1);
}

/* A request that is not answered. */
static void kick_in_vain(struct fixture *fixture)
{
	uint16_t used = ring_used(&fixture->ring);

	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	guest_loop_settle(fixture->guest);
	usleep(20000);
	guest_loop_settle(fixture->guest);
	assert_int_equal(ring_used(&fixture->ring), used);
}

static void test_save_load(void **state)
{
	struct fixture *fixture = *state;
	struct serialize_writer first = {0}, second = {0};
	struct device *device = &fixture->echo->virtio.device;

	bring_up(fixture);
	echo_once(fixture);
	echo_once(fixture);
	guest_interrupts(fixture->guest, 0x41);
	save(fixture, &first);
	device->ops->reset(device);
	assert_int_equal(fixture->echo->virtio.queues[0].enabled, false);
	assert_int_equal(guest_config_read(fixture->guest, 1, PCI_COMMAND, 2), 0);
	assert_int_equal(load(fixture, first.data, first.length), 0);
	assert_true(atomic_load(&fixture->echo->virtio.active));
	save(fixture, &second);
	assert_int_equal(first.length, second.length);
	assert_memory_equal(first.data, second.data, first.length);
	/* A kick from before the save comes late: the device touches nothing until the VM
	 * continues. */
	kick_in_vain(fixture);
	device->ops->resume(device);
	assert_int_equal(ring_wait(&fixture->ring), 8);
	guest_interrupts(fixture->guest, 0x41);
	echo_once(fixture); /* the rings continue from their old place */
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 1);
	serialize_writer_free(&first);
	serialize_writer_free(&second);
}

static void test_load_odd(void **state)
{
	struct fixture *fixture = *state;
	struct serialize_writer writer = {0};

	bring_up(fixture);
	echo_once(fixture);
	save(fixture, &writer);
	for (size_t cut = 0; cut < writer.length; cut++) {
		assert_int_equal(load(fixture, writer.data, cut), -EINVAL);
		assert_false(atomic_load(&fixture->echo->virtio.active));
	}
	/* One wrong bit at each place: the state is accepted or refused, but never causes a crash.
	 */
	for (size_t bit = 0; bit < 8 * writer.length; bit += 3) {
		writer.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		load(fixture, writer.data, writer.length);
		writer.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(load(fixture, writer.data, writer.length), 0);
	serialize_writer_free(&writer);
}

static void test_describe(void **state)
{
	struct fixture *fixture = *state;
	struct device *device = &fixture->echo->virtio.device;
	json_t *object = json_object();

	bring_up(fixture);
	echo_once(fixture);
	device->ops->describe(device, object);
	assert_int_equal(json_integer_value(json_object_get(
				 json_array_get(json_object_get(object, "queues"), 0), "requests")),
			 1);
	assert_true(json_is_true(json_object_get(object, "active")));
	json_decref(object);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_negotiation),
		TEST(test_queue_registers),
		TEST(test_bad_queue_fails_device),
		TEST(test_activation_fails),
		TEST(test_broken_request_fails_device),
		TEST(test_config_space),
		TEST(test_window),
		TEST(test_kicks_for_nobody),
		TEST(test_save_load),
		TEST(test_doorbells_follow_the_bar),
		TEST(test_caught_kicks_reach_the_device),
		TEST(test_load_odd),
		TEST(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
