// SPDX-License-Identifier: BSD-2-Clause
/* The split queue under a driver that breaks each rule there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

#define PARTS 128u
#define DATA  0x40000ull
#define TABLE 0x50000ull

struct fixture {
	struct guest *guest;
	struct virtio_device *device;
	struct virtio_queue *queue;
	struct driver driver;
	struct ring ring;
	struct iovec iov[PARTS];
	struct virtio_chain chain;
};

static void device_free(struct virtio_device *device)
{
	free(device);
}

static void device_notified(struct virtio_device *device, struct virtio_queue *queue)
{
}

static const struct virtio_ops plain_ops = {
	.name = "virtio-plain",
	.id = 63,
	.class_code = 0xff0000,
	.version = 1,
	.notified = device_notified,
	.destroy = device_free,
};

static const struct virtio_device_config plain_config = {
	.ops = &plain_ops,
	.name = "plain",
	.queue_count = 1,
	.queue_size = GUEST_SIZE,
};

static int setup_with(void **state, uint64_t features)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	fixture->guest = guest_create();
	fixture->device = calloc(1, sizeof(*fixture->device));
	assert_int_equal(
		virtio_device_create(&fixture->guest->vm, fixture->device, &plain_config, &err), 0);
	fixture->queue = &fixture->device->queues[0];
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	driver_msix_enable(&fixture->driver, 2);
	assert_true(driver_negotiate(&fixture->driver, features | 1ull << VIRTIO_F_VERSION_1));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
	assert_true(atomic_load(&fixture->device->active));
	fixture->chain.iov = fixture->iov;
	fixture->chain.iov_max = PARTS;
	*state = fixture;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 1ull << VIRTIO_RING_F_INDIRECT_DESC);
}

static int setup_event(void **state)
{
	return setup_with(state, 1ull << VIRTIO_RING_F_EVENT_IDX);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	guest_destroy(fixture->guest);
	free(fixture);
	return 0;
}

/* The device failed with @status, logged it once, notified the driver, and gives no more chains. */
static void assert_broken(struct fixture *fixture, int status)
{
	unsigned lines = guest_log_lines(fixture->guest);

	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), status);
	assert_true(driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_log_lines(fixture->guest), lines + 1);
	assert_int_equal(guest_interrupts(fixture->guest, 0x40), 1);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 0);
	driver_reset(&fixture->driver);
	assert_int_equal(driver_status(&fixture->driver), 0);
}

static void test_pop_push(void **state)
{
	struct fixture *fixture = *state;
	struct ring *ring = &fixture->ring;
	struct vring_used *used = guest_ram(fixture->guest, ring->used, 1024);
	char text[8] = "";

	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 0);
	memcpy(guest_ram(fixture->guest, DATA, 6), "abcdef", 6);
	ring_desc(ring, 3, DATA, 2, VRING_DESC_F_NEXT, 1);
	ring_desc(ring, 1, DATA + 2, 4, VRING_DESC_F_NEXT, 2);
	ring_desc(ring, 2, GUEST_HIGH_BASE, 16, VRING_DESC_F_WRITE, 0);
	ring_offer(ring, 3);
	assert_true(virtio_queue_pending(fixture->queue));
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(fixture->chain.head, 3);
	assert_int_equal(fixture->chain.out_count, 2);
	assert_int_equal(fixture->chain.in_count, 1);
	assert_int_equal(fixture->chain.out_bytes, 6);
	assert_int_equal(fixture->chain.in_bytes, 16);
	assert_int_equal(virtio_chain_read(&fixture->chain, 1, text, 4), 4);
	assert_string_equal(text, "bcde");
	assert_int_equal(virtio_chain_read(&fixture->chain, 5, text, 4), 1);
	assert_int_equal(virtio_chain_read(&fixture->chain, 6, text, 4), 0);
	assert_int_equal(virtio_chain_write(&fixture->chain, 14, "xyz", 3), 2);
	assert_memory_equal(guest_ram(fixture->guest, GUEST_HIGH_BASE + 14, 2), "xy", 2);
	virtio_queue_push(fixture->queue, &fixture->chain, 16);
	assert_int_equal(ring_used(ring), 0);
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 0);
	virtio_queue_flush(fixture->queue);
	assert_int_equal(ring_used(ring), 1);
	assert_int_equal(used->ring[0].id, 3);
	assert_int_equal(used->ring[0].len, 16);
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 1);
	virtio_queue_flush(fixture->queue);
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 0);
}

static void test_unpop(void **state)
{
	struct fixture *fixture = *state;

	ring_desc(&fixture->ring, 0, DATA, 1, 0, 0);
	ring_desc(&fixture->ring, 1, DATA, 2, 0, 0);
	ring_offer(&fixture->ring, 0);
	ring_offer(&fixture->ring, 1);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 0);
	virtio_queue_unpop(fixture->queue, 1);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(fixture->chain.out_bytes, 2);
	virtio_queue_unpop(fixture->queue, 2);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(fixture->chain.out_bytes, 1);
	/* More than there are: the queue goes back to the first one at most. */
	virtio_queue_unpop(fixture->queue, 100);
	assert_int_equal(fixture->queue->in_flight, 0);
	assert_int_equal(fixture->queue->avail_next, 0);
}

static void test_head_out_of_range(void **state)
{
	struct fixture *fixture = *state;

	ring_offer(&fixture->ring, GUEST_SIZE);
	assert_broken(fixture, -EINVAL);
}

static void test_next_out_of_range(void **state)
{
	struct fixture *fixture = *state;

	ring_desc(&fixture->ring, 0, DATA, 1, VRING_DESC_F_NEXT, 0xffff);
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, -EINVAL);
}

static void test_loop(void **state)
{
	struct fixture *fixture = *state;

	ring_desc(&fixture->ring, 0, DATA, 1, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, DATA, 1, VRING_DESC_F_NEXT, 0);
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, -ELOOP);
}

static void test_too_many_parts(void **state)
{
	struct fixture *fixture = *state;

	fixture->chain.iov_max = 1;
	ring_desc(&fixture->ring, 0, DATA, 1, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, DATA, 1, 0, 0);
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, -E2BIG);
}

static void test_available_jump(void **state)
{
	struct fixture *fixture = *state;
	struct vring_avail *avail = guest_ram(fixture->guest, fixture->ring.avail, 512);

	avail->idx = GUEST_SIZE + 1;
	assert_broken(fixture, -EINVAL);
}

/* The driver offers one descriptor for ever: never more in flight than entries. */
static void test_in_flight_bound(void **state)
{
	struct fixture *fixture = *state;

	ring_desc(&fixture->ring, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < GUEST_SIZE; i++) {
		ring_offer(&fixture->ring, 0);
		assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	}
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, -EINVAL);
}

static void test_read_after_write(void **state)
{
	struct fixture *fixture = *state;

	ring_desc(&fixture->ring, 0, DATA, 1, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
	ring_desc(&fixture->ring, 1, DATA, 1, 0, 0);
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, -EINVAL);
}

static void test_addresses(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t length;
	} bad[] = {
		{DATA, 0},					     /* empty */
		{GUEST_RAM_SIZE - 1, 2},			     /* leaves the region */
		{GUEST_RAM_SIZE, 1},				     /* outside */
		{GUEST_HIGH_BASE - 1, 2},			     /* enters one */
		{GUEST_HIGH_BASE + GUEST_HIGH_SIZE - 1, 0xffffffff}, /* long */
		{UINT64_MAX, 1},
		{UINT64_MAX - 7, 16}, /* wraps */
		{GUEST_WINDOW, 16},   /* no RAM */
		{PCI_MMIO_BASE, 4},   /* a device */
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ring_desc(&fixture->ring, 0, bad[i].address, bad[i].length, VRING_DESC_F_WRITE, 0);
		ring_offer(&fixture->ring, 0);
		assert_broken(fixture, -EFAULT);
		assert_true(driver_negotiate(&fixture->driver, 1ull << VIRTIO_F_VERSION_1));
		guest_write(fixture->guest, fixture->driver.common + 16, 0, 2);
		ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
		driver_ok(&fixture->driver);
	}
	/* Up to the very end is fine. */
	ring_desc(&fixture->ring, 0, GUEST_RAM_SIZE - 16, 16, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
}

static void table_desc(struct fixture *fixture, unsigned at, struct vring_desc desc)
{
	memcpy(guest_ram(fixture->guest, TABLE + 16 * at, 16), &desc, 16);
}

static void test_indirect(void **state)
{
	struct fixture *fixture = *state;

	table_desc(fixture, 0, (struct vring_desc){DATA, 5, VRING_DESC_F_NEXT, 2});
	table_desc(fixture, 2, (struct vring_desc){DATA, 7, VRING_DESC_F_WRITE, 9});
	ring_desc(&fixture->ring, 4, DATA, 3, VRING_DESC_F_NEXT, 5);
	ring_desc(&fixture->ring, 5, TABLE, 48, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 4);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(fixture->chain.out_bytes, 8);
	assert_int_equal(fixture->chain.in_bytes, 7);
	assert_int_equal(fixture->chain.head, 4);
}

static void test_indirect_full(void **state)
{
	struct fixture *fixture = *state;

	/* As many parts as the queue has entries are allowed, one more is not. */
	for (unsigned i = 0; i < GUEST_SIZE; i++)
		table_desc(fixture, i,
			   (struct vring_desc){DATA, 1, i + 1 < GUEST_SIZE ? VRING_DESC_F_NEXT : 0,
					       (uint16_t)(i + 1)});
	ring_desc(&fixture->ring, 0, TABLE, 16 * GUEST_SIZE, VRING_DESC_F_INDIRECT, 0);
	ring_offer(&fixture->ring, 0);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	assert_int_equal(fixture->chain.out_count, GUEST_SIZE);
	table_desc(fixture, GUEST_SIZE - 1,
		   (struct vring_desc){DATA, 1, VRING_DESC_F_NEXT, GUEST_SIZE});
	table_desc(fixture, GUEST_SIZE, (struct vring_desc){DATA, 1, 0, 0});
	ring_desc(&fixture->ring, 0, TABLE, 16 * (GUEST_SIZE + 1), VRING_DESC_F_INDIRECT, 0);
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, -ELOOP);
}

static void indirect_broken(struct fixture *fixture, uint64_t address, uint32_t length,
			    uint16_t flags, int status)
{
	ring_desc(&fixture->ring, 0, address, length, VRING_DESC_F_INDIRECT | flags, 0);
	ring_offer(&fixture->ring, 0);
	assert_broken(fixture, status);
}

static void test_indirect_empty(void **state)
{
	indirect_broken(*state, TABLE, 0, 0, -EINVAL);
}

static void test_indirect_odd(void **state)
{
	indirect_broken(*state, TABLE, 24, 0, -EINVAL);
}

static void test_indirect_not_ram(void **state)
{
	indirect_broken(*state, GUEST_RAM_SIZE - 16, 32, 0, -EFAULT);
}

static void test_indirect_unaligned(void **state)
{
	indirect_broken(*state, TABLE + 1, 16, 0, -EFAULT);
}

static void test_indirect_successor(void **state)
{
	indirect_broken(*state, TABLE, 16, VRING_DESC_F_NEXT, -EINVAL);
}

static void test_indirect_nested(void **state)
{
	struct fixture *fixture = *state;

	table_desc(fixture, 0, (struct vring_desc){TABLE, 16, VRING_DESC_F_INDIRECT, 0});
	indirect_broken(fixture, TABLE, 16, 0, -EINVAL);
}

static void test_indirect_next_outside(void **state)
{
	struct fixture *fixture = *state;

	table_desc(fixture, 0, (struct vring_desc){DATA, 16, VRING_DESC_F_NEXT, 1});
	indirect_broken(fixture, TABLE, 16, 0, -EINVAL);
}

static void test_indirect_not_negotiated(void **state)
{
	/* Here only the event index was negotiated. */
	indirect_broken(*state, TABLE, 16, 0, -EINVAL);
}

static void test_event_index(void **state)
{
	struct fixture *fixture = *state;
	struct vring_avail *avail = guest_ram(fixture->guest, fixture->ring.avail, 512);
	struct vring_used *used = guest_ram(fixture->guest, fixture->ring.used, 1024);
	uint16_t *used_event = &avail->ring[GUEST_SIZE];
	uint16_t *avail_event = (uint16_t *)&used->ring[GUEST_SIZE];

	ring_desc(&fixture->ring, 0, DATA, 1, 0, 0);
	*used_event = 1; /* not for the first */
	for (unsigned i = 0; i < 2; i++) {
		ring_offer(&fixture->ring, 0);
		assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
		virtio_queue_push(fixture->queue, &fixture->chain, 0);
		virtio_queue_flush(fixture->queue);
		assert_int_equal(guest_interrupts(fixture->guest, 0x41), i);
	}
	assert_false(virtio_queue_notify_enable(fixture->queue));
	assert_int_equal(*avail_event, 2);
	ring_offer(&fixture->ring, 0);
	assert_true(virtio_queue_notify_enable(fixture->queue));
}

static void test_no_interrupt_flag(void **state)
{
	struct fixture *fixture = *state;
	struct vring_avail *avail = guest_ram(fixture->guest, fixture->ring.avail, 512);
	struct vring_used *used = guest_ram(fixture->guest, fixture->ring.used, 1024);

	avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	ring_desc(&fixture->ring, 0, DATA, 1, 0, 0);
	ring_offer(&fixture->ring, 0);
	assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
	virtio_queue_push(fixture->queue, &fixture->chain, 0);
	virtio_queue_flush(fixture->queue);
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 0);
	virtio_queue_notify_disable(fixture->queue);
	assert_int_equal(used->flags, VRING_USED_F_NO_NOTIFY);
	assert_false(virtio_queue_notify_enable(fixture->queue));
	assert_int_equal(used->flags, 0);
}

/* Indices run over 65535 without a hiccup. */
static void test_wrap(void **state)
{
	struct fixture *fixture = *state;
	struct vring_avail *avail = guest_ram(fixture->guest, fixture->ring.avail, 512);

	ring_desc(&fixture->ring, 0, DATA, 1, 0, 0);
	for (unsigned i = 0; i < 70000; i++) {
		avail->ring[GUEST_SIZE] = (uint16_t)i;
		ring_offer(&fixture->ring, 0);
		assert_int_equal(virtio_queue_pop(fixture->queue, &fixture->chain), 1);
		virtio_queue_push(fixture->queue, &fixture->chain, 0);
		virtio_queue_flush(fixture->queue);
	}
	assert_int_equal(ring_used(&fixture->ring), (uint16_t)70000);
	assert_int_equal(guest_interrupts(fixture->guest, 0x41), 70000);
}

static void test_start_checks(void **state)
{
	static const struct {
		uint16_t size;
		uint64_t desc, avail, used;
	} bad[] = {
		{0, 0x1000, 0x2000, 0x3000},
		{3, 0x1000, 0x2000, 0x3000},
		{2 * GUEST_SIZE, 0x1000, 0x2000, 0x3000},
		{GUEST_SIZE, 0x1008, 0x2000, 0x3000},
		{GUEST_SIZE, 0x1000, 0x2001, 0x3000},
		{GUEST_SIZE, 0x1000, 0x2000, 0x3002},
		{GUEST_SIZE, GUEST_RAM_SIZE - 16 * GUEST_SIZE + 16, 0x2000, 0x3000},
		{GUEST_SIZE, 0x1000, GUEST_RAM_SIZE - 2 * GUEST_SIZE - 4, 0x3000},
		{GUEST_SIZE, 0x1000, 0x2000, GUEST_RAM_SIZE - 8 * GUEST_SIZE - 4},
		{GUEST_SIZE, 0x1000, 0x2000, UINT64_MAX - 3},
		{GUEST_SIZE, GUEST_WINDOW, 0x2000, 0x3000},
	};
	struct fixture *fixture = *state;
	struct virtio_queue queue = {.device = fixture->device, .size_max = GUEST_SIZE};
	struct error err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		queue.size = bad[i].size;
		queue.desc_gpa = bad[i].desc;
		queue.avail_gpa = bad[i].avail;
		queue.used_gpa = bad[i].used;
		assert_int_equal(virtio_queue_start(&queue, &err), -EINVAL);
		assert_null(queue.avail);
	}
	queue.size = GUEST_SIZE;
	queue.desc_gpa = 0x1000;
	queue.avail_gpa = 0x2000;
	queue.used_gpa = GUEST_RAM_SIZE - 8 * GUEST_SIZE - 8;
	assert_int_equal(virtio_queue_start(&queue, &err), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pop_push),
		TEST(test_unpop),
		TEST(test_head_out_of_range),
		TEST(test_next_out_of_range),
		TEST(test_loop),
		TEST(test_too_many_parts),
		TEST(test_available_jump),
		TEST(test_in_flight_bound),
		TEST(test_read_after_write),
		TEST(test_addresses),
		TEST(test_indirect),
		TEST(test_indirect_full),
		TEST(test_indirect_empty),
		TEST(test_indirect_odd),
		TEST(test_indirect_not_ram),
		TEST(test_indirect_unaligned),
		TEST(test_indirect_successor),
		TEST(test_indirect_nested),
		TEST(test_indirect_next_outside),
		cmocka_unit_test_setup_teardown(test_indirect_not_negotiated, setup_event,
						teardown),
		cmocka_unit_test_setup_teardown(test_event_index, setup_event, teardown),
		TEST(test_no_interrupt_flag),
		cmocka_unit_test_setup_teardown(test_wrap, setup_event, teardown),
		TEST(test_start_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
