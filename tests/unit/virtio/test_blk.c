// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk on real files: its requests, good and bad ones. */
#include "disk.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_write_read(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *data = guest_ram(fixture->guest, DATA, 8192);
	uint8_t copy[8192];
	int64_t written;

	bring_up(fixture, "");
	for (unsigned i = 0; i < 8192; i++)
		data[i] = (uint8_t)(i * 7 + i / 512);
	memcpy(copy, data, sizeof(copy));
	assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, 8, 8192, false, &written), 0);
	assert_int_equal(written, 1);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), 0);
	memset(data, 0, 8192);
	assert_int_equal(pread(fixture->fd, data, 8192, 4096), 8192);
	assert_memory_equal(data, copy, 8192);
	memset(data, 0, 8192);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 8, 8192, true, &written), 0);
	assert_int_equal(written, 8193);
	assert_memory_equal(data, copy, 8192);
	/* The last sector, and nothing beyond it. */
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, SECTORS - 1, 512, true, NULL), 0);
}

/* Header, data and status spread over parts as a driver may do it. */
static void test_any_layout(void **state)
{
	struct fixture *fixture = *state;
	struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_OUT, .sector = 3};
	uint8_t *area = guest_ram(fixture->guest, DATA, 4096);
	char read_back[1024];

	bring_up(fixture, "");
	memcpy(area, &header, 16);
	memset(area + 16, 'a', 300);
	memset(area + 1000, 'b', 724);
	ring_desc(&fixture->ring, 0, DATA, 9, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, DATA + 9, 307, VRING_DESC_F_NEXT, 2);
	ring_desc(&fixture->ring, 2, DATA + 1000, 724, VRING_DESC_F_NEXT, 3);
	ring_desc(&fixture->ring, 3, STATUS, 1, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	assert_int_equal(ring_wait(&fixture->ring), 1);
	assert_int_equal(pread(fixture->fd, read_back, 1024, 3 * 512), 1024);
	assert_int_equal(read_back[0], 'a');
	assert_int_equal(read_back[299], 'a');
	assert_int_equal(read_back[300], 'b');
	assert_int_equal(read_back[1023], 'b');
	/* A read whose last part holds the end of the data and the status. */
	header.type = VIRTIO_BLK_T_IN;
	memcpy(area, &header, 16);
	ring_desc(&fixture->ring, 0, DATA, 16, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, DATA + 0x800, 1025, VRING_DESC_F_WRITE, 0);
	area[0x800 + 1024] = NO_REPLY;
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	assert_int_equal(ring_wait(&fixture->ring), 1025);
	assert_memory_equal(area + 0x800, read_back, 1024);
	assert_int_equal(area[0x800 + 1024], VIRTIO_BLK_S_OK);
}

static void test_ranges(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t length;
	} bad[] = {
		{SECTORS, 512},	   {SECTORS - 1, 1024},
		{UINT64_MAX, 512}, {UINT64_MAX / 512, 512},
		{1ull << 55, 512}, {0, 511},
		{0, 513},	   {SECTORS + 1, 512},
	};
	struct fixture *fixture = *state;

	bring_up(fixture, "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
			request(fixture, VIRTIO_BLK_T_IN, bad[i].sector, bad[i].length, true, NULL),
			VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, bad[i].sector, bad[i].length,
					 false, NULL),
				 VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(lseek(fixture->fd, 0, SEEK_END), SECTORS * 512);
}

static void test_unknown_types(void **state)
{
	static const uint32_t types[] = {2, 3, 5, 6, 7, 9, 10, 12, 14, 15, 0x80000000, 0xffffffff};
	struct fixture *fixture = *state;

	bring_up(fixture, "");
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(request(fixture, types[i], 0, 512, i & 1, NULL),
				 VIRTIO_BLK_S_UNSUPP);
}

static void test_id(void **state)
{
	struct fixture *fixture = *state;
	int64_t written;

	bring_up(fixture, ",serial=12345678901234567890");
	assert_int_equal(request(fixture, VIRTIO_BLK_T_GET_ID, 0, 20, true, &written), 0);
	assert_int_equal(written, 21);
	assert_memory_equal(guest_ram(fixture->guest, DATA, 20), "12345678901234567890", 20);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_GET_ID, 0, 19, true, NULL),
			 VIRTIO_BLK_S_IOERR);
}

static void test_discard(void **state)
{
	struct fixture *fixture = *state;
	char ones[4096], data[4096];
	struct stat before, after;

	memset(ones, 1, sizeof(ones));
	for (unsigned i = 0; i < SECTORS / 8; i++)
		assert_int_equal(pwrite(fixture->fd, ones, 4096, 4096 * i), 4096);
	fstat(fixture->fd, &before);
	bring_up(fixture, "");
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, 512, 1024, 0), 0);
	fstat(fixture->fd, &after);
	assert_true(after.st_blocks <= before.st_blocks - 1024);
	assert_int_equal(after.st_size, SECTORS * 512);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 0), 0);
	assert_int_equal(pread(fixture->fd, data, 4096, 4096), 4096);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(data[i], 0);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 1), 0);
	assert_int_equal(pread(fixture->fd, data, 4096, 3 * 4096), 4096);
	assert_memory_equal(data, ones, 4096);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, 0, 0, 0), 0);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, UINT64_MAX, 0xffffffff, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, 0, 8, 1),
			 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2),
			 VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_DISCARD, 0, 15, false, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_DISCARD, 0, 32, false, NULL),
			 VIRTIO_BLK_S_UNSUPP);
}

static void test_discard_off(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture, ",discard=off");
	assert_false(driver_features(&fixture->driver) & 1ull << VIRTIO_BLK_F_DISCARD);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, 0, 8, 0),
			 VIRTIO_BLK_S_UNSUPP);
}

static void test_readonly(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture, ",readonly");
	assert_true(driver_features(&fixture->driver) & 1ull << VIRTIO_BLK_F_RO);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, 0, 512, false, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 512, true, NULL), 0);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), 0);
}

static void test_no_room(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture, "");
	ring_desc(&fixture->ring, 0, HEADER, 15, VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, STATUS, 1, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	for (unsigned i = 0; i < 2000; i++) {
		if (driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET)
			break;
		usleep(1000);
	}
	assert_true(driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(ring_used(&fixture->ring), 0);
	driver_reset(&fixture->driver);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 512, true, NULL), 0);
}

static void test_many_in_flight(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *statuses = guest_ram(fixture->guest, STATUS, GUEST_SIZE);

	bring_up(fixture, "");
	for (unsigned round = 0; round < 50; round++) {
		memset(statuses, NO_REPLY, GUEST_SIZE);
		for (uint16_t i = 0; i < GUEST_SIZE / 4; i++) {
			struct virtio_blk_outhdr header = {
				.type = i & 1 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, .sector = i};
			uint64_t at = 0x60000ull + 64 * i;

			memcpy(guest_ram(fixture->guest, at, 16), &header, 16);
			ring_desc(&fixture->ring, 3 * i, at, 16, VRING_DESC_F_NEXT, 3 * i + 1);
			ring_desc(&fixture->ring, 3 * i + 1, DATA + 512 * i, 512,
				  VRING_DESC_F_NEXT | (i & 1 ? 0 : VRING_DESC_F_WRITE), 3 * i + 2);
			ring_desc(&fixture->ring, 3 * i + 2, STATUS + i, 1, VRING_DESC_F_WRITE, 0);
			ring_offer(&fixture->ring, 3 * i);
		}
		ring_kick(&fixture->ring);
		for (uint16_t i = 0; i < GUEST_SIZE / 4; i++)
			assert_true(ring_wait(&fixture->ring) >= 1);
		for (uint16_t i = 0; i < GUEST_SIZE / 4; i++)
			assert_int_equal(statuses[i], 0);
	}
	/* A reset during the request: the device touches no memory afterwards. */
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	driver_reset(&fixture->driver);
	assert_int_equal(guest_virtio(fixture->guest)->queues[0].in_flight, 0);
}

static void test_save_load(void **state)
{
	struct fixture *fixture = *state;
	struct serialize_writer first = {0}, second = {0};
	struct serialize_reader reader;
	struct device *device;

	bring_up(fixture, "");
	device = &guest_virtio(fixture->guest)->device;
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 512, true, NULL), 0);
	guest_interrupts(fixture->guest, 0x41);
	assert_int_equal(device->ops->save(device, &first), 0);
	device->ops->reset(device);
	reader = (struct serialize_reader){.data = first.data, .length = first.length};
	assert_int_equal(device->ops->load(device, &reader, 1), 0);
	assert_int_equal(device->ops->save(device, &second), 0);
	assert_int_equal(first.length, second.length);
	assert_memory_equal(first.data, second.data, first.length);
	device->ops->resume(device);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 4, 512, true, NULL), 0);
	serialize_writer_free(&first);
	serialize_writer_free(&second);
}

static void test_describe(void **state)
{
	struct fixture *fixture = *state;
	json_t *object = json_object();
	struct device *device;

	bring_up(fixture, "");
	request(fixture, VIRTIO_BLK_T_IN, 0, 1024, true, NULL);
	request(fixture, VIRTIO_BLK_T_OUT, 0, 512, false, NULL);
	request(fixture, VIRTIO_BLK_T_IN, SECTORS, 512, true, NULL);
	device = &guest_virtio(fixture->guest)->device;
	device->ops->describe(device, object);
	assert_int_equal(json_integer_value(json_object_get(object, "reads")), 2);
	assert_int_equal(json_integer_value(json_object_get(object, "read_bytes")), 1024);
	assert_int_equal(json_integer_value(json_object_get(object, "written_bytes")), 512);
	assert_int_equal(json_integer_value(json_object_get(object, "errors")), 1);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_write_read),	   TEST(test_any_layout), TEST(test_ranges),
		TEST(test_unknown_types),  TEST(test_id),	  TEST(test_discard),
		TEST(test_discard_off),	   TEST(test_readonly),	  TEST(test_no_room),
		TEST(test_many_in_flight), TEST(test_save_load),  TEST(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
