// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk on a host that is stuck, full, cuts files off or has no io_uring. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_engine.h"

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

/* Another disk of the same guest, whose loop runs. */
static void other_up(struct fixture *other)
{
	char argument[256];
	struct error err = {""};

	image_make(other, SECTORS * 512);
	snprintf(argument, sizeof(argument), "path=%s", other->path);
	if (guest_device_create(other->guest, "disk", argument, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(driver_probe(other->guest, 2, &other->driver));
	driver_msix_enable(&other->driver, 2);
	assert_true(driver_negotiate(&other->driver, FEATURES));
	ring_setup(&other->driver, &other->ring, 0, 0x20000);
	driver_ok(&other->driver);
}

/* The kernel's threads that work for this process's rings. */
static unsigned ring_workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	unsigned count = 0;

	assert_non_null(tasks);
	while ((task = readdir(tasks))) {
		char path[300], name[16] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		count += fgets(name, sizeof(name), file) && strncmp(name, "iou-wrk", 7) == 0;
		fclose(file);
	}
	closedir(tasks);
	return count;
}

/* One disk waits for memory that the test withholds; another disk continues. */
static void test_a_stuck_disk_holds_up_no_other(void **state)
{
	struct fixture *fixture = *state, other = {.guest = fixture->guest};
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
	other_up(&other);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(request(&other, VIRTIO_BLK_T_OUT, i, 512, false, NULL), 0);
		assert_int_equal(request(&other, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), 0);
		assert_int_equal(request(&other, VIRTIO_BLK_T_IN, i, 512, true, NULL), 0);
	}
	assert_int_equal(range_request(&other, VIRTIO_BLK_T_WRITE_ZEROES, 0, 64, 0), 0);
	assert_int_equal(range_request(&other, VIRTIO_BLK_T_DISCARD, 0, 64, 0), 0);
	assert_int_equal(device->queues[0].in_flight, 1);
	/* All rings of a thread share these: the stuck disk must not have one. */
	assert_int_equal(ring_workers(), 0);
	guest_unstall(fixture->guest);
	close(other.fd);
	unlink(other.path);
}

static void engine_done(void *opaque, struct blk_operation *operation, int status)
{
	*(int *)opaque = status;
}

/* An engine with an operation that writes a page of @memory to the start of @fd. */
struct writer {
	struct blk_engine *engine;
	struct blk_operation operation;
	struct iovec iov;
	int fd, status;
};

static void writer_begin(struct writer *writer, void *memory)
{
	const struct blk_access access = {.offset_align = 1, .memory_align = 1};
	char path[] = "/tmp/symvm-test-XXXXXX";
	struct error err = {""};

	writer->fd = mkstemp(path);
	assert_true(writer->fd >= 0);
	unlink(path);
	writer->status = -EINPROGRESS;
	writer->iov = (struct iovec){memory, 4096};
	writer->operation = (struct blk_operation){
		.kind = BLK_WRITE, .iov = &writer->iov, .count = 1, .length = 4096};
	if (blk_engine_create(writer->fd, 8, &access, true, engine_done, &writer->status,
			      &writer->engine, &err) < 0 ||
	    blk_engine_start(writer->engine, NULL, &err) < 0)
		fail_msg("%s", err.text);
	blk_engine_add(writer->engine, &writer->operation);
	blk_engine_submit(writer->engine);
}

static int writer_wait(struct writer *writer)
{
	for (unsigned i = 0; i < 1000 && blk_engine_busy(writer->engine); i++)
		blk_engine_wait(writer->engine, 10);
	return writer->status;
}

static bool lies_in_memory(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* In Linux one file in 64 has the hash of another one: so many files that one of them has it. */
#define FILES 400u

/*
 * All files stay open, so each has its own place in the kernel's memory, which is what is hashed.
 */
static void test_a_stuck_file_holds_up_no_other(void **state)
{
	static struct writer others[FILES];
	static uint8_t data[4096];
	struct fixture *fixture = *state;
	struct writer stuck;

	if (lies_in_memory("/tmp"))
		skip(); /* such a file is written on the spot */
	if (!guest_stall(fixture->guest, STUCK))
		skip();
	writer_begin(&stuck, guest_ram(fixture->guest, STUCK, 4096));
	for (unsigned i = 0; i < FILES; i++) {
		writer_begin(&others[i], data);
		assert_int_equal(writer_wait(&others[i]), 0);
		blk_engine_destroy(others[i].engine);
	}
	assert_int_equal(stuck.status, -EINPROGRESS);
	guest_unstall(fixture->guest);
	writer_wait(&stuck);
	blk_engine_destroy(stuck.engine);
	close(stuck.fd);
	for (unsigned i = 0; i < FILES; i++)
		close(others[i].fd);
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
		TEST(test_a_stuck_file_holds_up_no_other),
		TEST(test_a_full_queue_does_not_keep_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
