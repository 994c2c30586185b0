// SPDX-License-Identifier: BSD-2-Clause
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void image_make(struct fixture *fixture, off_t size)
{
	snprintf(fixture->path, sizeof(fixture->path), "/tmp/symvm-test-XXXXXX");
	fixture->fd = mkstemp(fixture->path);
	assert_true(fixture->fd >= 0);
	assert_int_equal(ftruncate(fixture->fd, size), 0);
}

void bring_up(struct fixture *fixture, const char *options)
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

void refused(struct fixture *fixture, const char *argument, int status, const char *word)
{
	struct error err = {""};

	assert_int_equal(guest_device_create(fixture->guest, "disk", argument, &err), status);
	if (!strstr(err.text, word) || strchr(err.text, '\n'))
		fail_msg("'%s' does not say '%s'", err.text, word);
}

int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->guest = guest_create();
	image_make(fixture, SECTORS * 512);
	*state = fixture;
	return 0;
}

int teardown(void **state)
{
	struct fixture *fixture = *state;

	guest_destroy(fixture->guest);
	close(fixture->fd);
	unlink(fixture->path);
	free(fixture);
	return 0;
}

void request_begin(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t length,
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

uint8_t request(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t length,
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

uint8_t range_request(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t sectors,
		      uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = {sector, sectors, flags};

	memcpy(guest_ram(fixture->guest, DATA, sizeof(range)), &range, sizeof(range));
	return request(fixture, type, 0, sizeof(range), false, NULL);
}
