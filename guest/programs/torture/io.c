// SPDX-License-Identifier: BSD-2-Clause
/* Devices that read from and write into swapped memory. */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK (128ul << 10)

/* Count pages of `bytes` that are not what `expected` should hold. */
static size_t differs(const struct region *expected, const uint8_t *bytes)
{
	size_t bad = 0;

	for (size_t page = 0; page < expected->pages; page++)
		bad += !region_matches(expected, page, bytes + page * PAGE_BYTES);
	return bad;
}

static ssize_t transfer(int fd, uint8_t *bytes, size_t length, bool writing)
{
	for (size_t at = 0; at < length; at += CHUNK) {
		size_t part = length - at < CHUNK ? length - at : CHUNK;
		ssize_t done = writing ? pwrite(fd, bytes + at, part, (off_t)at)
				       : pread(fd, bytes + at, part, (off_t)at);

		if (done != (ssize_t)part)
			return done < 0 ? -errno : -EIO;
	}
	return 0;
}

static int direct_rounds(int fd, struct region *source, struct region *target, uint8_t *plain)
{
	size_t bytes = source->pages * PAGE_BYTES;
	ssize_t error;

	error = transfer(fd, source->base, bytes, true);
	CHECK(error == 0, "writing from swapped memory: %s", strerror((int)-error));
	error = transfer(fd, plain, bytes, false);
	CHECK(error == 0, "reading: %s", strerror((int)-error));
	CHECK(differs(source, plain) == 0, "%zu pages reached the disk wrong",
	      differs(source, plain));
	CHECK_REGION(source, "after the disk read it");
	region_pageout(target, 0, target->pages);
	error = transfer(fd, target->base, bytes, false);
	CHECK(error == 0, "reading into swapped memory: %s", strerror((int)-error));
	CHECK(differs(source, target->base) == 0, "%zu pages that the disk filled are wrong",
	      differs(source, target->base));
	region_pageout(target, 0, target->pages);
	CHECK(differs(source, target->base) == 0, "%zu such pages are wrong after swapping",
	      differs(source, target->base));
	return 0;
}

TORTURE_TEST(direct, "o-direct", "O_DIRECT from swapped buffers and into them")
{
	struct region source, target;
	uint8_t *plain;
	int fd;

	if (!context->disk)
		return torture_skip("no --disk");
	if (torture_prepare(context, &source) || torture_prepare(context, &target))
		return 1;
	fd = open(context->disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %s", context->disk, strerror(errno));
	plain = mmap(NULL, source.pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(plain != MAP_FAILED, "no memory");
	for (int round = 0; round < 2; round++) {
		if (direct_rounds(fd, &source, &target, plain))
			return 1;
		region_write(&source);
		torture_disturb(&source);
	}
	return 0;
}

/* One fixed-buffer request a chunk, one after the other. */
static int uring_transfer(struct io_uring *ring, int fd, uint8_t *bytes, size_t length, int buffer,
			  bool writing)
{
	for (size_t at = 0; at < length; at += CHUNK) {
		unsigned int part = (unsigned int)(length - at < CHUNK ? length - at : CHUNK);
		struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
		struct io_uring_cqe *cqe;
		int result;

		if (writing)
			io_uring_prep_write_fixed(sqe, fd, bytes + at, part, at, buffer);
		else
			io_uring_prep_read_fixed(sqe, fd, bytes + at, part, at, buffer);
		result = io_uring_submit_and_wait(ring, 1);
		if (result < 0)
			return result;
		result = io_uring_wait_cqe(ring, &cqe);
		if (result < 0)
			return result;
		result = cqe->res;
		io_uring_cqe_seen(ring, cqe);
		if (result != (int)part)
			return result < 0 ? result : -EIO;
	}
	return 0;
}

static int uring_rounds(struct io_uring *ring, int fd, struct region *source, struct region *target)
{
	size_t bytes = source->pages * PAGE_BYTES;
	int error;

	for (int round = 0; round < 2; round++) {
		error = uring_transfer(ring, fd, source->base, bytes, 0, true);
		CHECK(error == 0, "writing a fixed buffer: %s", strerror(-error));
		region_pageout(target, 0, target->pages); /* pinned: must stay what it is */
		torture_reclaim(bytes);
		error = uring_transfer(ring, fd, target->base, bytes, 1, false);
		CHECK(error == 0, "reading into a fixed buffer: %s", strerror(-error));
		CHECK(differs(source, target->base) == 0,
		      "%zu pages that io_uring filled are wrong in the process's view",
		      differs(source, target->base));
		region_write(source);
		torture_disturb(source);
		CHECK_REGION(source, "as a fixed buffer");
	}
	return 0;
}

TORTURE_TEST(uring, "io-uring", "io_uring with fixed buffers that were swapped out when registered")
{
	struct region source, target;
	struct iovec buffers[2];
	struct io_uring ring;
	int fd, error;

	if (!context->disk)
		return torture_skip("no --disk");
	if (torture_prepare(context, &source) || torture_prepare(context, &target))
		return 1;
	fd = open(context->disk, O_RDWR | O_DIRECT | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %s", context->disk, strerror(errno));
	error = io_uring_queue_init(8, &ring, 0);
	CHECK(error == 0, "io_uring: %s", strerror(-error));
	buffers[0] = (struct iovec){source.base, source.pages * PAGE_BYTES};
	buffers[1] = (struct iovec){target.base, target.pages * PAGE_BYTES};
	error = io_uring_register_buffers(&ring, buffers, 2);
	CHECK(error == 0, "registering buffers: %s", strerror(-error));
	CHECK_REGION(&source, "after it was registered");
	error = uring_rounds(&ring, fd, &source, &target);
	io_uring_queue_exit(&ring);
	return error;
}
