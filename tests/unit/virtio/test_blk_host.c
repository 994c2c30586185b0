// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk on a host that is stuck, full, cuts files off or has no io_uring. */
#include "disk.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

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
	/* The file is removed; the open file still works. */
	unlink(fixture->path);
	assert_int_equal(request(fixture, VIRTIO_BLK_T_IN, 0, 512, true, NULL), 0);
	/* One line, however many requests there are. */
	assert_int_equal(guest_log_lines(fixture->guest), 1);
}

#define QUEUE  256u
#define STUCK  0x80000ull
#define LENGTH 0x140000u /* too much to be written on the loop itself */

/* Rings of the largest size that the device accepts, and a large write whose data never come. */
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
 * As many requests are under way as all queues have entries, and the driver makes more available.
 * The device fails, and the I/O loop continues. Then comes a reset, which does not wait for the
 * disk.
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
	/* All name the same chain: a driver may do this. */
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
	/* The driver learns that the reset is not over. Its settings in the meantime are lost. */
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

#define OTHERS_MAX 8u

/* Another disk of the same guest, number @number of them; the guest's loop runs. */
static void other_up(struct fixture *other, unsigned number)
{
	char argument[256];
	struct error err = {""};

	image_make(other, SECTORS * 512);
	snprintf(argument, sizeof(argument), "path=%s", other->path);
	if (guest_device_create(other->guest, "disk", argument, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(driver_probe(other->guest, 2 + number, &other->driver));
	driver_msix_enable(&other->driver, 2);
	assert_true(driver_negotiate(&other->driver, FEATURES));
	ring_setup(&other->driver, &other->ring, 0, 0x20000 + 0x2000 * number);
	driver_ok(&other->driver);
}

/*
 * The first of some disks that answers; others->guest is set. In Linux, io_uring's workers write to
 * a file one after the other. A hash of 6 bits decides whether two files are the same
 * (io_wq_hash_work()). So sometimes a file waits for another one, which is not our fault. If the
 * loop is held up, no disk answers.
 */
static struct fixture *other_that_answers(struct fixture *others)
{
	for (unsigned i = 0; i < OTHERS_MAX; i++) {
		others[i].guest = others[0].guest;
		other_up(&others[i], i);
		if (request(&others[i], VIRTIO_BLK_T_OUT, 0, 512, false, NULL) == VIRTIO_BLK_S_OK)
			return &others[i];
	}
	return NULL;
}

/* One disk waits for memory that the test withholds; another disk continues. */
static void test_a_stuck_disk_holds_up_no_other(void **state)
{
	struct fixture *fixture = *state, *other, others[OTHERS_MAX] = {0};
	struct virtio_device *device;
	struct vring_avail *avail;
	const void *stuck;

	assert_int_equal(ftruncate(fixture->fd, 4 << 20), 0);
	bring_up(fixture, "");
	device = guest_virtio(fixture->guest);
	avail = stuck_setup(fixture);
	if (!avail)
		skip();
	__atomic_store_n(&avail->idx, 1, __ATOMIC_RELEASE);
	ring_kick(&fixture->ring);
	stuck = guest_ram(fixture->guest, STUCK, 1);
	for (unsigned i = 0; i < 5000 && !device->ops->holds(device, stuck, 4096); i++)
		usleep(1000);
	assert_true(device->ops->holds(device, stuck, 4096));
	assert_false(device->ops->holds(device, guest_ram(fixture->guest, 0, 1), 4096));
	others[0].guest = fixture->guest;
	other = other_that_answers(others);
	assert_non_null(other);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(request(other, VIRTIO_BLK_T_OUT, i, 512, false, NULL), 0);
	assert_int_equal(device->queues[0].in_flight, 1);
	guest_unstall(fixture->guest);
	for (unsigned i = 0; i < OTHERS_MAX && others[i].guest; i++) {
		close(others[i].fd);
		unlink(others[i].path);
	}
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
	/* A driver that resets in the meantime gets an error. Each pause is reported. */
	file_size_limit(SECTORS * 256);
	request_begin(fixture, VIRTIO_BLK_T_OUT, SECTORS - 8, 512, false);
	is_paused(fixture, 3);
	driver_reset(&fixture->driver);
	assert_int_equal(driver_status(&fixture->driver), 0);
	assert_int_equal(*status, VIRTIO_BLK_S_IOERR);
	file_size_limit(0);
}

/* Without io_uring threads do the work, and a stuck disk does not hold up others either. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_truncated),
		TEST(test_more_than_the_queue_holds),
		TEST(test_disk_full),
		TEST(test_disk_full_pauses),
		TEST(test_without_io_uring),
		TEST(test_a_stuck_disk_holds_up_no_other),
		TEST(test_a_full_queue_does_not_keep_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
