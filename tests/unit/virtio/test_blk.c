// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk on real files: what it does, and what it makes of bad options and requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

#define SECTORS	 2048u
#define FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX)
#define HEADER	 0x40000ull
#define STATUS	 0x40100ull
#define DATA	 0x41000ull
#define NO_REPLY 0xee

struct fixture {
	struct guest *guest;
	struct driver driver;
	struct ring ring;
	char path[64];
	int fd;
};

static void image_make(struct fixture *fixture, off_t size)
{
	snprintf(fixture->path, sizeof(fixture->path), "/tmp/symvm-test-XXXXXX");
	fixture->fd = mkstemp(fixture->path);
	assert_true(fixture->fd >= 0);
	assert_int_equal(ftruncate(fixture->fd, size), 0);
}

static void bring_up(struct fixture *fixture, const char *options)
{
	char argument[256];
	struct error err = {""};

	snprintf(argument, sizeof(argument), "path=%s%s", fixture->path, options);
	if (guest_device_create(fixture->guest, "disk", argument, &err) < 0)
		fail_msg("%s", err.text);
	guest_loop_start(fixture->guest);
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	driver_msix_enable(&fixture->driver, 2);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
}

static void refused(struct fixture *fixture, const char *argument, int status, const char *word)
{
	struct error err = {""};

	assert_int_equal(guest_device_create(fixture->guest, "disk", argument, &err), status);
	if (!strstr(err.text, word) || strchr(err.text, '\n'))
		fail_msg("'%s' does not say '%s'", err.text, word);
}

/* Another disk of the same guest, whose loop runs. */
static void second_up(struct fixture *fixture)
{
	char argument[256];
	struct error err = {""};

	snprintf(argument, sizeof(argument), "path=%s", fixture->path);
	if (guest_device_create(fixture->guest, "disk", argument, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(driver_probe(fixture->guest, 2, &fixture->driver));
	driver_msix_enable(&fixture->driver, 2);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x20000);
	driver_ok(&fixture->driver);
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->guest = guest_create();
	image_make(fixture, SECTORS * 512);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	guest_destroy(fixture->guest);
	close(fixture->fd);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

/* Makes one request with @length bytes of data available. */
static void request_begin(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t length,
			  bool from_device)
{
	struct virtio_blk_outhdr header = {.type = type, .sector = sector};
	uint8_t *status = guest_ram(fixture->guest, STATUS, 1);

	*status = NO_REPLY;
	memcpy(guest_ram(fixture->guest, HEADER, sizeof(header)), &header, sizeof(header));
	ring_desc(&fixture->ring, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, length ? 1 : 2);
	ring_desc(&fixture->ring, 1, DATA, length,
		  VRING_DESC_F_NEXT | (from_device ? VRING_DESC_F_WRITE : 0), 2);
	ring_desc(&fixture->ring, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
}

/* The same, and waits for the answer; its status, or NO_REPLY. */
static uint8_t request(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t length,
		       bool from_device, int64_t *written)
{
	uint8_t *status = guest_ram(fixture->guest, STATUS, 1);
	int64_t count;

	request_begin(fixture, type, sector, length, from_device);
	count = ring_wait(&fixture->ring);
	if (written)
		*written = count;
	return *status;
}

static uint8_t range_request(struct fixture *fixture, uint32_t type, uint64_t sector,
			     uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = {sector, sectors, flags};

	memcpy(guest_ram(fixture->guest, DATA, sizeof(range)), &range, sizeof(range));
	return request(fixture, type, 0, sizeof(range), false, NULL);
}

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

static void test_truncated(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture, "");
	assert_int_equal(ftruncate(fixture->fd, 1024), 0);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 1024, true, NULL), 0);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 1, 1024, true, NULL),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 100, 512, true, NULL),
			 VIRTIO_BLK_S_IOERR);
	/* Removed altogether: the open file goes on. */
	unlink(fixture->path);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 512, true, NULL), 0);
	/* One line, however many of them there are. */
	assert_int_equal(guest_log_lines(fixture->guest), 1);
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
	/* A reset in the middle of it: nothing is touched afterwards. */
	ring_offer(&fixture->ring, 0);
	ring_kick(&fixture->ring);
	driver_reset(&fixture->driver);
	assert_int_equal(guest_virtio(fixture->guest)->queues[0].in_flight, 0);
}

#define QUEUE  256u
#define STUCK  0x80000ull
#define LENGTH 0x140000u /* too much to be written on the loop itself */

/* Rings as large as the device takes, and one large write whose data never come. */
static struct vring_avail *stuck_setup(struct fixture *fixture)
{
	const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_OUT};
	struct ring *ring = &fixture->ring;

	driver_reset(&fixture->driver);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup_size(&fixture->driver, ring, 0, 0x10000, QUEUE);
	driver_ok(&fixture->driver);
	if (!guest_stall(fixture->guest, STUCK))
		return NULL;
	memcpy(guest_ram(fixture->guest, HEADER, sizeof(header)), &header, sizeof(header));
	ring_desc(ring, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	ring_desc(ring, 1, STUCK, LENGTH, VRING_DESC_F_NEXT, 2);
	ring_desc(ring, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	return guest_ram(fixture->guest, ring->avail, 6 + 2 * QUEUE);
}

static bool needs_reset(struct fixture *fixture)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (driver_status(&fixture->driver) & VIRTIO_CONFIG_S_NEEDS_RESET)
			return true;
		usleep(1000);
	}
	return false;
}

/*
 * As many requests under way as all queues have entries, and the driver makes more available: the
 * device fails, and the I/O loop lives. Then a reset, which does not wait for the disk.
 */
static void test_more_than_the_queue_holds(void **state)
{
	struct fixture *fixture = *state;
	struct virtio_device *device;
	struct vring_avail *avail;

	assert_int_equal(ftruncate(fixture->fd, 4 << 20), 0);
	bring_up(fixture, "");
	device = guest_virtio(fixture->guest);
	avail = stuck_setup(fixture);
	if (!avail)
		skip();
	/* All name the same chain: a driver may do what it likes. */
	__atomic_store_n(&avail->idx, QUEUE, __ATOMIC_RELEASE);
	ring_kick(&fixture->ring);
	for (unsigned i = 0; i < 5000 && device->queues[0].in_flight < QUEUE; i++)
		usleep(1000);
	assert_int_equal(device->queues[0].in_flight, QUEUE);
	__atomic_store_n(&avail->idx, QUEUE + 64, __ATOMIC_RELEASE);
	ring_kick(&fixture->ring);
	assert_true(needs_reset(fixture));
	guest_loop_settle(fixture->guest);
	assert_int_equal(guest_log_lines(fixture->guest), 1);
	/* The driver is told that the reset is not over, and what it sets up meanwhile is lost. */
	driver_reset(&fixture->driver);
	assert_int_not_equal(driver_status(&fixture->driver), 0);
	driver_ok(&fixture->driver);
	assert_false(device->device.ops->quiesce(&device->device));
	guest_unstall(fixture->guest);
	for (unsigned i = 0; i < 20000 && driver_status(&fixture->driver); i++)
		usleep(1000);
	assert_int_equal(driver_status(&fixture->driver), 0);
	assert_true(device->device.ops->quiesce(&device->device));
	assert_int_equal(device->queues[0].in_flight, 0);
	assert_true(driver_negotiate(&fixture->driver, FEATURES));
	ring_setup(&fixture->driver, &fixture->ring, 0, 0x10000);
	driver_ok(&fixture->driver);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 512, true, NULL), 0);
}

/* One disk does not get on; the other does. The memory that it waits for cannot go away. */
static void test_a_stuck_disk_holds_up_no_other(void **state)
{
	struct fixture *fixture = *state, second = {.guest = fixture->guest};
	struct virtio_device *device;
	struct vring_avail *avail;

	image_make(&second, SECTORS * 512);
	assert_int_equal(ftruncate(fixture->fd, 4 << 20), 0);
	bring_up(fixture, "");
	device = guest_virtio(fixture->guest);
	second_up(&second);
	avail = stuck_setup(fixture);
	if (avail) {
		__atomic_store_n(&avail->idx, 1, __ATOMIC_RELEASE);
		ring_kick(&fixture->ring);
		for (unsigned i = 0; i < 5000 && !device->queues[0].in_flight; i++)
			usleep(1000);
		assert_int_equal(device->queues[0].in_flight, 1);
		assert_true(device->ops->holds(device, guest_ram(fixture->guest, STUCK, 1), 4096));
		assert_false(device->ops->holds(device, guest_ram(fixture->guest, 0, 1), 4096));
	}
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(request(&second, VIRTIO_BLK_T_OUT, i, 512, false, NULL), 0);
	guest_unstall(fixture->guest);
	close(second.fd);
	unlink(second.path);
	if (!avail)
		skip();
}

static void file_size_limit(uint64_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The host has no room: an error of these requests, and one line in the log. */
static void test_disk_full(void **state)
{
	struct fixture *fixture = *state;

	signal(SIGXFSZ, SIG_IGN); /* as main() does */
	bring_up(fixture, "");
	file_size_limit(SECTORS * 256);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, SECTORS - 8, 512, false, NULL),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, 8, 512, false, NULL), 0);
	}
	file_size_limit(0);
	assert_int_equal(guest_log_lines(fixture->guest), 1);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, SECTORS - 8, 512, false, NULL), 0);
}

/* The VM is paused, with a line in the log, and the request is not answered. */
static void is_paused(struct fixture *fixture, unsigned lines)
{
	const uint8_t *status = guest_ram(fixture->guest, STATUS, 1);

	for (unsigned i = 0; i < 20000 && guest_log_lines(fixture->guest) < lines; i++)
		usleep(1000);
	guest_loop_settle(fixture->guest);
	assert_int_equal(guest_log_lines(fixture->guest), lines);
	assert_int_equal(fixture->guest->vm.state, VM_STATE_PAUSED);
	assert_int_equal(*status, NO_REPLY);
}

/* --on-disk-full=pause: the requests wait for a resume, and for another one. */
static void test_disk_full_pauses(void **state)
{
	struct fixture *fixture = *state;
	struct vm *vm = &fixture->guest->vm;
	struct device *device;
	uint8_t *status = guest_ram(fixture->guest, STATUS, 1);

	signal(SIGXFSZ, SIG_IGN);
	vm->config.pause_on_disk_full = true;
	vm->state = VM_STATE_RUNNING;
	bring_up(fixture, "");
	device = &guest_virtio(fixture->guest)->device;
	file_size_limit(SECTORS * 256);
	request_begin(fixture, VIRTIO_BLK_T_OUT, SECTORS - 8, 512, false);
	is_paused(fixture, 1);
	vm->state = VM_STATE_RUNNING;
	device->ops->resumed(device);
	is_paused(fixture, 2);
	file_size_limit(0);
	vm->state = VM_STATE_RUNNING;
	device->ops->resumed(device);
	assert_int_equal(ring_wait(&fixture->ring), 1);
	assert_int_equal(*status, VIRTIO_BLK_S_OK);
	/* A driver that resets meanwhile is told of an error. Each pause is said. */
	file_size_limit(SECTORS * 256);
	request_begin(fixture, VIRTIO_BLK_T_OUT, SECTORS - 8, 512, false);
	is_paused(fixture, 3);
	driver_reset(&fixture->driver);
	assert_int_equal(driver_status(&fixture->driver), 0);
	assert_int_equal(*status, VIRTIO_BLK_S_IOERR);
	file_size_limit(0);
}

/* Without io_uring threads do it, and a disk that is stuck holds up nobody either. */
static void test_without_io_uring(void **state)
{
	struct fixture *fixture = *state;

	bring_up(fixture, ",io-uring=off");
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(request(fixture, VIRTIO_BLK_T_OUT, i, 512, false, NULL), 0);
		assert_int_equal(request(fixture, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), 0);
		assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, i, 512, true, NULL), 0);
	}
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_WRITE_ZEROES, 0, 64, 0), 0);
	assert_int_equal(range_request(fixture, VIRTIO_BLK_T_DISCARD, 0, 64, 0), 0);
}

/* What the guest sees differently from the file is said. */
static void test_differences(void **state)
{
	struct fixture *fixture = *state;
	char text[1024] = "";

	assert_int_equal(ftruncate(fixture->fd, 512 * 9 + 100), 0);
	bring_up(fixture, ",readonly");
	assert_true(pread(fixture->guest->log_fd, text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "last 100 bytes"));
	assert_non_null(strstr(text, fixture->path));
	assert_non_null(strstr(text, "read-only"));
	refused(fixture, "path=/tmp/x,format=qcow2", -EINVAL, "format=qcow2");
	/* physical_block_exp, alignment, min_io_size: blocks of 4096 bytes */
	assert_true(driver_features(&fixture->driver) & 1ull << VIRTIO_BLK_F_TOPOLOGY);
	assert_int_equal(guest_read(fixture->guest, fixture->driver.config + 20, 4), 512);
	assert_int_equal(guest_read(fixture->guest, fixture->driver.config + 24, 1), 3);
}

struct flood {
	struct fixture *fixture;
	_Atomic bool stop;
};

/* A driver that offers a new request for each that is answered, and kicks as often as it can. */
static void *flood(void *opaque)
{
	struct flood *flood = opaque;
	struct ring *ring = &flood->fixture->ring;

	while (!atomic_load(&flood->stop)) {
		while ((uint16_t)(ring->avail_idx - ring_used(ring)) < GUEST_SIZE)
			ring_offer(ring, 0);
		ring_kick(ring);
	}
	return NULL;
}

/* A queue that is never empty leaves the loop to others, too. */
static void test_a_full_queue_does_not_keep_the_loop(void **state)
{
	const struct virtio_blk_outhdr header = {.type = VIRTIO_BLK_T_GET_ID};
	struct fixture *fixture = *state;
	struct flood flooded = {.fixture = fixture};
	pthread_t thread;

	bring_up(fixture, "");
	memcpy(guest_ram(fixture->guest, HEADER, sizeof(header)), &header, sizeof(header));
	ring_desc(&fixture->ring, 0, HEADER, sizeof(header), VRING_DESC_F_NEXT, 1);
	ring_desc(&fixture->ring, 1, DATA, 21, VRING_DESC_F_WRITE, 0);
	assert_int_equal(pthread_create(&thread, NULL, flood, &flooded), 0);
	for (unsigned i = 0; i < 50; i++)
		guest_loop_settle(fixture->guest);
	atomic_store(&flooded.stop, true);
	pthread_join(thread, NULL);
	assert_false(atomic_load(&guest_virtio(fixture->guest)->failed));
}

static void test_options(void **state)
{
	struct fixture *fixture = *state;
	char argument[128];
	struct error err;

	refused(fixture, "path=/nowhere/disk.img", -ENOENT, "/nowhere/disk.img");
	refused(fixture, "path=/tmp", -EISDIR, "directory");
	refused(fixture, "path=/dev/null", -EINVAL, "/dev/null");
	refused(fixture, "readonly", -EINVAL, "path");
	refused(fixture, "path=/tmp/x,frob=1", -EINVAL, "frob");
	refused(fixture, "path=/tmp/x,queues=0", -EINVAL, "queues=0");
	refused(fixture, "path=/tmp/x,queues=999", -EINVAL, "queues=999");
	refused(fixture, "path=/tmp/x,serial=123456789012345678901", -EINVAL, "serial");
	snprintf(argument, sizeof(argument), "path=%s", fixture->path);
	assert_int_equal(ftruncate(fixture->fd, 511), 0);
	refused(fixture, argument, -EINVAL, "smaller");
	assert_int_equal(ftruncate(fixture->fd, 512 * 9 + 100), 0);
	assert_int_equal(fchmod(fixture->fd, 0444), 0);
	refused(fixture, argument, -EACCES, "read-only");
	assert_int_equal(fchmod(fixture->fd, 0644), 0);
	assert_int_equal(guest_device_create(fixture->guest, "disk", argument, &err), 0);
	refused(fixture, argument, -EBUSY, "in use");
	assert_true(driver_probe(fixture->guest, 1, &fixture->driver));
	assert_int_equal(guest_read(fixture->guest, fixture->driver.config, 8), 9);
}

static void test_shared_readers(void **state)
{
	struct fixture *fixture = *state;
	char argument[128];
	struct error err;

	snprintf(argument, sizeof(argument), "path=%s,readonly", fixture->path);
	assert_int_equal(guest_device_create(fixture->guest, "disk", argument, &err), 0);
	assert_int_equal(guest_device_create(fixture->guest, "disk", argument, &err), 0);
	assert_string_equal(guest_virtio(fixture->guest)->device.name, "disk1");
	argument[strlen(argument) - 9] = '\0';
	refused(fixture, argument, -EBUSY, "in use");
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_write_read),
		TEST(test_any_layout),
		TEST(test_ranges),
		TEST(test_unknown_types),
		TEST(test_id),
		TEST(test_discard),
		TEST(test_discard_off),
		TEST(test_readonly),
		TEST(test_no_room),
		TEST(test_truncated),
		TEST(test_many_in_flight),
		TEST(test_more_than_the_queue_holds),
		TEST(test_disk_full),
		TEST(test_disk_full_pauses),
		TEST(test_without_io_uring),
		TEST(test_differences),
		TEST(test_a_stuck_disk_holds_up_no_other),
		TEST(test_a_full_queue_does_not_keep_the_loop),
		TEST(test_options),
		TEST(test_shared_readers),
		TEST(test_save_load),
		TEST(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
