// SPDX-License-Identifier: BSD-2-Clause
/* userfaultfd on memory that is swapped out: missing pages, and write protection. */
#include "torture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct handler {
	int fd;
	struct region *region;
	pthread_t thread;
	bool stop;
	size_t missing, protected; /* events of each kind */
	int error;
};

static int handle_missing(struct handler *handler, uint8_t *address)
{
	static uint8_t buffer[PAGE_BYTES] __attribute__((aligned(4096)));
	size_t page = (size_t)(address - handler->region->base) / PAGE_BYTES;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)address,
		.src = (uintptr_t)buffer,
		.len = PAGE_BYTES,
	};

	handler->missing++;
	region_render_page(handler->region, page, buffer);
	return ioctl(handler->fd, UFFDIO_COPY, &copy) == 0 || errno == EEXIST ? 0 : -errno;
}

static int handle_protected(struct handler *handler, uint8_t *address)
{
	struct uffdio_writeprotect allow = {
		.range = {(uintptr_t)address, PAGE_BYTES},
	};

	handler->protected ++;
	return ioctl(handler->fd, UFFDIO_WRITEPROTECT, &allow) == 0 ? 0 : -errno;
}

/* Touches a page of which nobody serves the faults. */
static int sleep_in_fault(void *argument)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	volatile uint8_t *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)argument;
	range.range = (struct uffdio_range){(uintptr_t)page, PAGE_BYTES};
	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		return 1;
	return *page; /* never */
}

pid_t torture_sleep_in_fault(void)
{
	char path[64], place[64] = "";
	pid_t pid = torture_spawn(sleep_in_fault, NULL);

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	for (int i = 0; pid > 0 && i < 1000; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length = fd < 0 ? 0 : read(fd, place, sizeof(place) - 1);

		close(fd);
		place[length > 0 ? length : 0] = 0;
		if (strstr(place, "userfault"))
			return pid;
		usleep(10000);
	}
	if (pid > 0)
		kill(pid, SIGKILL);
	return torture_fail("no userfaultfd, or no wchan: '%s'", place), -1;
}

static void *handle_events(void *argument)
{
	struct handler *handler = argument;
	struct pollfd poller = {.fd = handler->fd, .events = POLLIN};
	struct uffd_msg message;

	while (!__atomic_load_n(&handler->stop, __ATOMIC_ACQUIRE)) {
		uint8_t *address;

		if (poll(&poller, 1, 20) <= 0 ||
		    read(handler->fd, &message, sizeof(message)) != sizeof(message))
			continue;
		address = (uint8_t *)(message.arg.pagefault.address & ~(PAGE_BYTES - 1));
		if (message.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			handler->error = handle_protected(handler, address);
		else
			handler->error = handle_missing(handler, address);
	}
	return NULL;
}

static int handler_start(struct handler *handler, struct region *region)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
	struct uffdio_register range = {
		.range = {(uintptr_t)region->base, region->pages * PAGE_BYTES},
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	*handler = (struct handler){.region = region};
	handler->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (handler->fd < 0)
		return torture_skip("no userfaultfd: %s", strerror(errno));
	CHECK(ioctl(handler->fd, UFFDIO_API, &api) == 0, "userfaultfd: %s", strerror(errno));
	CHECK(ioctl(handler->fd, UFFDIO_REGISTER, &range) == 0, "register: %s", strerror(errno));
	CHECK(pthread_create(&handler->thread, NULL, handle_events, handler) == 0, "no thread");
	return 0;
}

static int protect_all(const struct handler *handler)
{
	struct uffdio_writeprotect forbid = {
		.range = {(uintptr_t)handler->region->base, handler->region->pages * PAGE_BYTES},
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	return ioctl(handler->fd, UFFDIO_WRITEPROTECT, &forbid) == 0 ? 0 : -errno;
}

/* Swapped pages are not missing; dropped ones are. */
static int missing_pages(struct handler *handler)
{
	struct region *region = handler->region;
	size_t half = region->pages / 2, bad;

	CHECK_REGION(region, "watched by userfaultfd");
	CHECK(handler->missing == 0, "%zu swapped pages were reported missing", handler->missing);
	region_pageout(region, 0, region->pages);
	madvise(region->base, half * PAGE_BYTES, MADV_DONTNEED);
	for (size_t page = 0; page < half; page++)
		CHECK(torture_read(region_page(region, page)) == 0, "page %zu cannot be read",
		      page);
	bad = region_check(region);
	CHECK(bad == 0, "%zu pages are wrong after the handler filled them", bad);
	CHECK(handler->missing == half, "%zu of %zu dropped pages were reported", handler->missing,
	      half);
	return 0;
}

/* Protection outlives being swapped out and read back. */
static int protected_pages(struct handler *handler)
{
	struct region *region = handler->region;
	int error = protect_all(handler);

	CHECK(error == 0, "write protection: %s", strerror(-error));
	region_pageout(region, 0, region->pages);
	CHECK_REGION(region, "write-protected and swapped out");
	CHECK(handler->protected == 0, "%zu reads were reported as writes", handler->protected);
	for (size_t page = 0; page < region->pages; page += 2)
		region_write_page(region, page);
	CHECK(handler->protected == region->pages / 2, "%zu of %zu writes were reported",
	      handler->protected, region->pages / 2);
	region_pageout(region, 0, region->pages);
	for (size_t page = 1; page < region->pages; page += 2)
		region_write_page(region, page);
	CHECK(handler->protected == region->pages, "%zu of %zu writes were reported",
	      handler->protected, region->pages);
	CHECK_REGION(region, "after all were written");
	return 0;
}

TORTURE_TEST(user_faults, "userfaultfd", "missing and write-protected pages, swapped out")
{
	struct handler handler;
	struct region region;
	int result;

	/* Even, so that halves are exact. */
	if (torture_prepare(context, &region))
		return 1;
	region.pages &= ~1ul;
	result = handler_start(&handler, &region);
	if (result)
		return result;
	result = missing_pages(&handler) || protected_pages(&handler);
	__atomic_store_n(&handler.stop, true, __ATOMIC_RELEASE);
	pthread_join(handler.thread, NULL);
	CHECK(handler.error == 0, "the handler failed: %s", strerror(-handler.error));
	close(handler.fd);
	if (result)
		return result;
	torture_disturb(&region);
	CHECK_REGION(&region, "after userfaultfd went");
	return 0;
}
