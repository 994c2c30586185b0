// SPDX-License-Identifier: BSD-2-Clause
/* virtio-blk: its options, and its messages at the start. */
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The log has a line for each difference between the file and the guest's disk. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_differences),
		TEST(test_options),
		TEST(test_shared_readers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
