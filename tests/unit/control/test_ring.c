// SPDX-License-Identifier: BSD-2-Clause
/* A disk's io_uring, which seccomp can't look into, does nothing but disk operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

/* Included because the ring is private to the file. */
#include "devices/virtio/blk/blk_ring.c"

static struct {
	struct blk_backend *backend; /* NULL: io_uring is switched off here */
	int fd;
	char data[16];
	struct iovec iov;
} fixture;

static int setup(void **state)
{
	fixture.backend = NULL;
	fixture.fd = memfd_create("disk", MFD_CLOEXEC);
	fixture.iov = (struct iovec){fixture.data, sizeof(fixture.data)};
	if (fixture.fd < 0 || write(fixture.fd, "0123456789abcdef", 16) != 16)
		return -1;
	blk_ring_create(fixture.fd, 8, &fixture.backend);
	return 0;
}

static int teardown(void **state)
{
	if (fixture.backend)
		fixture.backend->ops->destroy(fixture.backend);
	return close(fixture.fd);
}

static struct io_uring *ring(void)
{
	return &((struct blk_ring *)fixture.backend)->ring;
}

static struct io_uring_sqe *next(void)
{
	if (!fixture.backend)
		skip();
	return io_uring_get_sqe(ring());
}

static int result(void)
{
	struct io_uring_cqe *cqe;
	int status;

	assert_int_equal(io_uring_submit(ring()), 1);
	assert_int_equal(io_uring_wait_cqe(ring(), &cqe), 0);
	status = cqe->res;
	io_uring_cqe_seen(ring(), cqe);
	return status;
}

static void the_disk_is_read(void **state)
{
	struct io_uring_sqe *sqe = next();

	io_uring_prep_readv(sqe, 0, &fixture.iov, 1, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	assert_int_equal(result(), 16);
	assert_memory_equal(fixture.data, "0123456789abcdef", 16);
}

static void other_descriptors_are_refused(void **state)
{
	io_uring_prep_readv(next(), fixture.fd, &fixture.iov, 1, 0);
	assert_int_equal(result(), -EACCES);
}

static void files_and_sockets_are_not_opened(void **state)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	struct io_uring_sqe *sqe = next();

	io_uring_prep_openat(sqe, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
	assert_int_equal(result(), -EACCES);
	sqe = next();
	io_uring_prep_connect(sqe, 0, &address, sizeof(address));
	sqe->flags |= IOSQE_FIXED_FILE;
	assert_int_equal(result(), -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_disk_is_read),
		cmocka_unit_test(other_descriptors_are_refused),
		cmocka_unit_test(files_and_sockets_are_not_opened),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
