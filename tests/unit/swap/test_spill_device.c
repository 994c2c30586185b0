// SPDX-License-Identifier: BSD-2-Clause
/* Devices and files that become a spill store, and those that are left alone, byte for byte. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "swap/spill/spill_file.h"

#define MIB    (1ull << 20)
#define SIZE   (8 * MIB)
#define BLOCKS 256u
#define MAGIC  "SymVM slots\n"

static char path[64];

static int make_file(void **state)
{
	strcpy(path, "/tmp/symvm-device-XXXXXX");
	close(mkstemp(path));
	return truncate(path, SIZE);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void put(const char *where, off_t at, const void *data, size_t length)
{
	int fd = open(where, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, length, at), length);
	close(fd);
}

/* The check of a device, with a file in its place. */
static int check(struct error *err)
{
	int fd = open(path, O_RDONLY), status;

	assert_true(fd >= 0);
	status = spill_device_check(fd, path, SIZE, BLOCKS, err);
	close(fd);
	return status;
}

static void blank_devices_are_taken(void **state)
{
	struct error err;

	if (check(&err) < 0)
		fail_msg("%s", err.text);
	/* The old contents of a spill store do not count, even if they look like a known format. */
	put(path, 0, MAGIC, sizeof(MAGIC));
	put(path, MIB + 0x438, "\x53\xef", 2);
	put(path, 3 * MIB, "any", 3);
	if (check(&err) < 0)
		fail_msg("%s", err.text);
}

static void one_byte_is_enough_to_refuse(void **state)
{
	static const off_t offsets[] = {0,	 1,	     510,      4095,	   4096,      65536,
					MIB - 1, SIZE - MIB, SIZE - 1, SIZE - 512, MIB - 4096};

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		struct error err;

		put(path, offsets[i], "x", 1);
		if (check(&err) != -EEXIST)
			fail_msg("a byte at %lld was not seen", (long long)offsets[i]);
		put(path, offsets[i], "", 1);
	}
}

/* A header in front of something else: a RAID's member begins after its first page. */
static void a_header_alone_is_not_enough(void **state)
{
	struct error err;

	put(path, 0, MAGIC, sizeof(MAGIC));
	put(path, 4096, "\xfc\x4e\x2b\xa9\x01", 5);
	assert_int_equal(check(&err), -EEXIST);
	put(path, 4096, "\0\0\0\0\0", 5);
	put(path, sizeof(MAGIC), "x", 1);
	assert_int_equal(check(&err), -EEXIST);
}

static void what_is_found_is_named(void **state)
{
	uint8_t sector[512] = {0};
	struct error err;

	sector[446 + 4] = 0x83;
	sector[446 + 9] = 8;
	sector[446 + 13] = 8;
	sector[510] = 0x55;
	sector[511] = 0xaa;
	put(path, 0, sector, sizeof(sector));
	assert_int_equal(check(&err), -EEXIST);
	assert_non_null(strstr(err.text, "dos"));
	assert_non_null(strstr(err.text, path));
	memset(sector, 0, sizeof(sector));
	put(path, 0, sector, sizeof(sector));
	put(path, 4086, "SWAPSPACE2", 10);
	put(path, 1024, "\1\0\0\0\xff\0\0\0", 8);
	assert_int_equal(check(&err), -EEXIST);
}

static void small_devices_are_refused(void **state)
{
	int fd = open(path, O_RDONLY);
	struct error err;

	assert_int_equal(spill_device_check(fd, path, 3 * MIB, BLOCKS, &err), 0);
	assert_int_equal(spill_device_check(fd, path, 3 * MIB - 512, BLOCKS, &err), -ENOSPC);
	assert_int_equal(spill_device_check(fd, path, 0, BLOCKS, &err), -ENOSPC);
	close(fd);
}

/* Files: empty ones and spill stores are taken; short ones and all others are left alone. */
static void files_with_contents_are_left_alone(void **state)
{
	static const struct {
		const char *data;
		size_t length;
	} bad[] = {{"x", 1}, {MAGIC, sizeof(MAGIC)}, {MAGIC, 5}, {"", 1}};
	struct spill *spill;
	struct error err;
	struct stat what;

	/* Only zeros: it may be a user's new disk image. */
	assert_int_equal(spill_open(path, BLOCKS, &spill, &err), -EEXIST);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(truncate(path, 0), 0);
		put(path, 0, bad[i].data, bad[i].length);
		assert_int_equal(spill_open(path, BLOCKS, &spill, &err), -EEXIST);
		assert_int_equal(stat(path, &what), 0);
		assert_int_equal(what.st_size, bad[i].length);
	}
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(spill_open(path, BLOCKS, &spill, &err), 0);
	spill->ops->close(spill);
}

static void what_is_no_file_is_refused(void **state)
{
	struct spill *spill;
	struct error err;
	char fifo[80];

	assert_int_equal(spill_open("/dev/null", BLOCKS, &spill, &err), -EINVAL);
	assert_int_equal(spill_open("/tmp", BLOCKS, &spill, &err), -EISDIR);
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(spill_open(fifo, BLOCKS, &spill, &err), -EINVAL);
	unlink(fifo);
	assert_int_equal(spill_open("http://host/x", BLOCKS, &spill, &err), -EINVAL);
}

/* Makes the file a block device; -1 if this machine has none. */
static int loop_make(char *device, size_t size)
{
	int control = open("/dev/loop-control", O_RDWR), file = open(path, O_RDWR), loop = -1;
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);

	snprintf(device, size, "/dev/loop%d", number);
	if (number >= 0)
		loop = open(device, O_RDWR);
	if (loop >= 0 && ioctl(loop, LOOP_SET_FD, file) < 0) {
		close(loop);
		loop = -1;
	}
	close(file);
	if (control >= 0)
		close(control);
	return loop;
}

static void device_is_refused(const char *device, int code)
{
	uint8_t before[8192], after[8192];
	struct spill *spill;
	struct error err;
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
	assert_int_equal(spill_open(device, BLOCKS, &spill, &err), code);
	assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	close(fd);
}

static void block_devices(void **state)
{
	char device[32], command[128];
	struct spill *spill, *second;
	uint8_t page[SPILL_BLOCK] __attribute__((aligned(4096))) = {1},
				  got[SPILL_BLOCK] __attribute__((aligned(4096)));
	struct error err;
	int loop = loop_make(device, sizeof(device)), other;

	if (loop < 0)
		skip();
	if (spill_open(device, BLOCKS, &spill, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(spill_open(device, BLOCKS, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	assert_int_equal(spill->ops->write(spill, 0, BLOCKS - 1, page, 1), 0);
	assert_int_equal(spill->ops->read(spill, 1, BLOCKS - 1, got, 1), 0);
	assert_memory_equal(page, got, sizeof(page));
	spill->ops->close(spill);
	/* Once more, as after a crash. */
	assert_int_equal(spill_open(device, BLOCKS, &spill, &err), 0);
	spill->ops->close(spill);
	/* Another user has it exclusively, as a mount does. */
	other = open(device, O_RDONLY | O_EXCL);
	assert_true(other >= 0);
	device_is_refused(device, -EBUSY);
	close(other);
	/* A file system made over an old spill store. */
	snprintf(command, sizeof(command), "mkfs.ext4 -q -F %s >/dev/null 2>&1", device);
	assert_int_equal(system(command), 0);
	device_is_refused(device, -EEXIST);
	ioctl(loop, LOOP_CLR_FD, 0);
	close(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(blank_devices_are_taken, make_file, remove_file),
		cmocka_unit_test_setup_teardown(one_byte_is_enough_to_refuse, make_file,
						remove_file),
		cmocka_unit_test_setup_teardown(a_header_alone_is_not_enough, make_file,
						remove_file),
		cmocka_unit_test_setup_teardown(what_is_found_is_named, make_file, remove_file),
		cmocka_unit_test_setup_teardown(small_devices_are_refused, make_file, remove_file),
		cmocka_unit_test_setup_teardown(files_with_contents_are_left_alone, make_file,
						remove_file),
		cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, make_file, remove_file),
		cmocka_unit_test_setup_teardown(block_devices, make_file, remove_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
