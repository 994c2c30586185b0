// SPDX-License-Identifier: BSD-2-Clause
/* The disk's engine alone, with and without io_uring, on good hosts and on hosts with errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/blk/blk_engine.h"

#define SIZE 65536u

struct fixture {
	struct blk_engine *engine;
	int fd;
	unsigned done;
	int status;
};

static void done(void *opaque, struct blk_operation *operation, int status)
{
	struct fixture *fixture = opaque;

	fixture->done++;
	fixture->status = status;
}

static int setup_file(void **state, bool ring, const struct blk_access *access, int fd)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct error err;

	fixture->fd = fd;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fixture->fd, SIZE), 0);
	assert_int_equal(blk_engine_create(fixture->fd, 8, access, ring, done, fixture,
					   &fixture->engine, &err),
			 0);
	assert_int_equal(blk_engine_start(fixture->engine, NULL, &err), 0);
	if (!ring)
		assert_false(blk_engine_has_ring(fixture->engine));
	*state = fixture;
	return 0;
}

static int setup_access(void **state, bool ring, const struct blk_access *access)
{
	return setup_file(state, ring, access,
			  memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

static int setup_with(void **state, bool ring, bool direct)
{
	const struct blk_access access = {.direct = direct, .offset_align = 1, .memory_align = 1};

	return setup_access(state, ring, &access);
}

/* A disk with blocks of 4096 bytes on a file system that has no fallocate(2). */
static const struct blk_access coarse = {.direct = true,
					 .offset_align = 4096,
					 .memory_align = 512,
					 .no_punch = true,
					 .no_zero = true};

static int setup_coarse_ring(void **state)
{
	return setup_access(state, true, &coarse);
}

static int setup_coarse_plain(void **state)
{
	return setup_access(state, false, &coarse);
}

static int setup_ring(void **state)
{
	/* "direct" keeps operations from being carried out at once. */
	return setup_with(state, true, true);
}

/* The ring's calls would have to wait now and then, and the threads make them again. */
static int setup_both(void **state)
{
	const struct blk_access access = {.direct = true, .offset_align = 1, .memory_align = 1};
	char path[] = "/tmp/symvm-test-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	return setup_file(state, true, &access, fd);
}

static int setup_inline(void **state)
{
	return setup_with(state, true, false);
}

static int setup_plain(void **state)
{
	return setup_with(state, false, true);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	blk_engine_destroy(fixture->engine);
	close(fixture->fd);
	free(fixture);
	return 0;
}

static void drain(struct fixture *fixture)
{
	while (blk_engine_busy(fixture->engine))
		blk_engine_wait(fixture->engine, 1000);
}

static int run(struct fixture *fixture, struct blk_operation *operation)
{
	fixture->done = 0;
	blk_engine_add(fixture->engine, operation);
	blk_engine_submit(fixture->engine);
	drain(fixture);
	assert_int_equal(fixture->done, 1);
	return fixture->status;
}

static int transfer(struct fixture *fixture, enum blk_kind kind, void *data, size_t length,
		    uint64_t offset)
{
	struct iovec iov[2] = {{data, length / 3},
			       {(char *)data + length / 3, length - length / 3}};
	struct blk_operation operation = {
		.kind = kind, .iov = iov, .count = 2, .offset = offset, .length = length};

	return run(fixture, &operation);
}

static int range(struct fixture *fixture, enum blk_kind kind, uint64_t offset, uint64_t length)
{
	struct blk_operation operation = {.kind = kind, .offset = offset, .length = length};

	return run(fixture, &operation);
}

static void test_all_kinds(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[8192], copy[8192];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 251 + 1);
	assert_int_equal(transfer(fixture, BLK_WRITE, data, sizeof(data), 4096), 0);
	assert_int_equal(range(fixture, BLK_FLUSH, 0, 0), 0);
	assert_int_equal(transfer(fixture, BLK_READ, copy, sizeof(copy), 4096), 0);
	assert_memory_equal(copy, data, sizeof(data));
	/* This file has no call for the second, so zeroes are written. */
	assert_int_equal(range(fixture, BLK_DISCARD, 4096, 4096), 0);
	assert_int_equal(range(fixture, BLK_ZERO, 8192, 1024), 0);
	assert_int_equal(transfer(fixture, BLK_READ, copy, sizeof(copy), 4096), 0);
	for (unsigned i = 0; i < 5120; i++)
		assert_int_equal(copy[i], 0);
	assert_memory_equal(copy + 5120, data + 5120, sizeof(data) - 5120);
	assert_int_equal(lseek(fixture->fd, 0, SEEK_END), SIZE);
}

static void test_end_of_file(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[4096];

	assert_int_equal(transfer(fixture, BLK_READ, data, 4096, SIZE - 4096), 0);
	assert_int_equal(transfer(fixture, BLK_READ, data, 4096, SIZE - 2048), -EIO);
	assert_int_equal(transfer(fixture, BLK_READ, data, 4096, SIZE), -EIO);
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	assert_int_equal(transfer(fixture, BLK_READ, data, 4096, 0), -EIO);
}

static void test_errors(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[4096] = {0};

	/* The host's file can't grow, nor be written to. */
	assert_int_equal(fcntl(fixture->fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(transfer(fixture, BLK_WRITE, data, 4096, 0), -EPERM);
	assert_int_equal(range(fixture, BLK_DISCARD, 0, 4096), -EPERM);
	assert_true(range(fixture, BLK_ZERO, 0, 4096) < 0);
	assert_int_equal(transfer(fixture, BLK_READ, data, 4096, 0), 0);
	/* Memory that does not exist. */
	assert_int_equal(transfer(fixture, BLK_READ, (void *)8, 4096, 0), -EFAULT);
}

#define SLOTS 15u

/*
 * Sectors of 512 bytes on larger blocks, at any address, many at once and next to each other. No
 * request may undo the change of another.
 */
static void test_small_sectors_on_large_blocks(void **state)
{
	static uint8_t model[SIZE], data[SLOTS][8192], copy[SIZE];
	struct blk_operation operations[SLOTS];
	struct iovec iov[SLOTS];
	struct fixture *fixture = *state;

	memset(model, 0, sizeof(model));
	srand(1);
	for (unsigned round = 0; round < 200; round++) {
		fixture->done = 0;
		for (unsigned i = 0; i < SLOTS; i++) {
			/* Ranges that share blocks with their neighbours, but no sector. */
			unsigned skip = (unsigned)rand() % 8, kind = (unsigned)rand() % 4;
			uint64_t offset = 512 * (3 + 8 * i + skip);
			uint64_t length = 512 * (1 + (unsigned)rand() % (8 - skip));
			uint8_t *bytes = data[i] + (unsigned)rand() % 4 * 4;

			operations[i] = (struct blk_operation){.kind = BLK_READ,
							       .iov = &iov[i],
							       .count = 1,
							       .offset = offset,
							       .length = length};
			iov[i] = (struct iovec){bytes, length};
			if (kind == 0) {
				operations[i].kind = BLK_ZERO;
				operations[i].count = 0;
				memset(model + offset, 0, length);
			} else if (kind < 3) {
				operations[i].kind = BLK_WRITE;
				memset(bytes, rand(), length);
				memcpy(model + offset, bytes, length);
			}
			blk_engine_add(fixture->engine, &operations[i]);
		}
		blk_engine_submit(fixture->engine);
		drain(fixture);
		assert_int_equal(fixture->done, SLOTS);
		assert_int_equal(fixture->status, 0);
		assert_int_equal(transfer(fixture, BLK_READ, copy, SIZE, 0), 0);
		assert_memory_equal(copy, model, SIZE);
	}
	assert_int_equal(pread(fixture->fd, copy, SIZE, 0), SIZE);
	assert_memory_equal(copy, model, SIZE);
	assert_int_equal(lseek(fixture->fd, 0, SEEK_END), SIZE);
}

/* If the host cannot punch holes, a hint has no effect; zeroes are still zeroes. */
static void test_no_holes(void **state)
{
	struct fixture *fixture = *state;
	uint8_t data[8192], copy[8192];

	memset(data, 7, sizeof(data));
	assert_int_equal(transfer(fixture, BLK_WRITE, data, sizeof(data), 0), 0);
	assert_int_equal(range(fixture, BLK_DISCARD, 0, SIZE), 0);
	assert_int_equal(transfer(fixture, BLK_READ, copy, sizeof(copy), 0), 0);
	assert_memory_equal(copy, data, sizeof(data));
	assert_int_equal(range(fixture, BLK_ZERO_UNMAP, 0, 4096), 0);
	assert_int_equal(transfer(fixture, BLK_READ, copy, sizeof(copy), 0), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(copy[i], 0);
	assert_memory_equal(copy + 4096, data + 4096, 4096);
}

/* More than the ring holds, added before anything is submitted. */
static void test_more_than_fit(void **state)
{
	static uint8_t data[100][512];
	static struct iovec iov[100];
	static struct blk_operation operations[100];
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 100; i++) {
		iov[i] = (struct iovec){data[i], 512};
		operations[i] = (struct blk_operation){.kind = i & 1 ? BLK_READ : BLK_WRITE,
						       .iov = &iov[i],
						       .count = 1,
						       .offset = 512 * i,
						       .length = 512};
		blk_engine_add(fixture->engine, &operations[i]);
	}
	blk_engine_submit(fixture->engine);
	drain(fixture);
	assert_int_equal(fixture->done, 100);
	assert_int_equal(fixture->status, 0);
}

#define TEST(function, with)                                                                    \
	{                                                                                       \
		.name = #function " " #with, .test_func = function, .setup_func = setup_##with, \
		.teardown_func = teardown                                                       \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all_kinds, ring),
		TEST(test_all_kinds, inline),
		TEST(test_all_kinds, plain),
		TEST(test_all_kinds, both),
		TEST(test_end_of_file, ring),
		TEST(test_end_of_file, inline),
		TEST(test_end_of_file, plain),
		TEST(test_end_of_file, both),
		TEST(test_errors, ring),
		TEST(test_errors, inline),
		TEST(test_errors, plain),
		TEST(test_more_than_fit, ring),
		TEST(test_more_than_fit, inline),
		TEST(test_more_than_fit, plain),
		TEST(test_more_than_fit, both),
		TEST(test_small_sectors_on_large_blocks, coarse_ring),
		TEST(test_small_sectors_on_large_blocks, coarse_plain),
		TEST(test_no_holes, coarse_ring),
		TEST(test_no_holes, coarse_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
