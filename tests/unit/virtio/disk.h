/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest with virtio disks on temporary files, and the requests of their driver. */
#ifndef TESTS_UNIT_VIRTIO_DISK_H
#define TESTS_UNIT_VIRTIO_DISK_H

#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"

#define SECTORS	 2048u
#define FEATURES (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX)
#define HEADER	 0x40000ull
#define STATUS	 0x40100ull
#define DATA	 0x41000ull
#define NO_REPLY 0xee

/* One disk; @guest may have others. */
struct fixture {
	struct guest *guest;
	struct driver driver;
	struct ring ring;
	char path[64];
	int fd;
};

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
/* A guest, and an image of SECTORS. */
int setup(void **state);
int teardown(void **state);

/* A temporary file of @size bytes, fixture->path and fd. */
void image_make(struct fixture *fixture, off_t size);
/* Makes the disk with more @options, starts the loop, and has the driver set it up. */
void bring_up(struct fixture *fixture, const char *options);
/* The disk cannot be made: @status, and one line with @word. */
void refused(struct fixture *fixture, const char *argument, int status, const char *word);
/* Makes one request with @length bytes of data available. */
void request_begin(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t length,
		   bool from_device);
/* The same, and waits for the answer; its status, or NO_REPLY. */
uint8_t request(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t length,
		bool from_device, int64_t *written);
/* A request whose data are a range of sectors. */
uint8_t range_request(struct fixture *fixture, uint32_t type, uint64_t sector, uint32_t sectors,
		      uint32_t flags);

#endif
