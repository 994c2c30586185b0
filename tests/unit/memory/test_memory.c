// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "memory/memory.h"
#include "memory/memory_backing.h"
#include "memory/memory_host.h"
#include "memory/memory_plug.h"

#define LOW  (1ull << 20)
#define HIGH (2ull << 20)

static uint8_t low[LOW], high[HIGH], window[LOW];

/* RAM below and above the hole, and a window of the kind that DMA must not touch. */
static const struct guest_memory memory = {
	.vm_fd = -1,
	.ram_size = LOW + HIGH,
	.count = 3,
	.regions =
		{
			{.gpa = 0, .size = LOW, .hva = low, .ram = true},
			{.gpa = MEMORY_HOLE_END, .size = HIGH, .hva = high, .ram = true},
			{.gpa = 1ull << 40, .size = LOW, .hva = window, .ram = false},
		},
};

static void test_translates_what_is_ram(void **state)
{
	assert_ptr_equal(memory_translate(&memory, 0, 1), low);
	assert_ptr_equal(memory_translate(&memory, 0, LOW), low);
	assert_ptr_equal(memory_translate(&memory, LOW - 1, 1), low + LOW - 1);
	assert_ptr_equal(memory_translate(&memory, MEMORY_HOLE_END + 5, HIGH - 5), high + 5);
}

static void test_refuses_all_else(void **state)
{
	assert_null(memory_translate(&memory, 0, 0));
	assert_null(memory_translate(&memory, 0, LOW + 1));
	assert_null(memory_translate(&memory, LOW - 1, 2));
	assert_null(memory_translate(&memory, LOW, 1));
	assert_null(memory_translate(&memory, MEMORY_HOLE_START, 4));
	assert_null(memory_translate(&memory, MEMORY_HOLE_END - 1, 2));
	assert_null(memory_translate(&memory, MEMORY_HOLE_END + HIGH - 1, 2));
	assert_null(memory_translate(&memory, MEMORY_HOLE_END + 1, UINT64_MAX));
	assert_null(memory_translate(&memory, UINT64_MAX, 1));
	assert_null(memory_translate(&memory, UINT64_MAX - 3, 8));
	assert_null(memory_translate(&memory, 1ull << 40, 1)); /* the window */
}

static void test_reads_and_writes(void **state)
{
	uint32_t value = 0x12345678, back = 0;

	assert_int_equal(memory_write(&memory, 16, &value, sizeof(value)), 0);
	assert_int_equal(memory_read(&memory, 16, &back, sizeof(back)), 0);
	assert_int_equal(back, value);
	assert_int_equal(memory_write(&memory, LOW - 2, &value, sizeof(value)), -EFAULT);
	assert_int_equal(low[LOW - 1], 0);
	assert_int_equal(memory_read(&memory, LOW, &back, sizeof(back)), -EFAULT);
}

static void test_checks_sizes(void **state)
{
	struct memory_config config = {.size = 64ull << 20};
	struct error err;

	assert_int_equal(memory_check_config(&config, &err), 0);
	config.size = 0;
	assert_int_equal(memory_check_config(&config, &err), -EINVAL);
	config.size = (64ull << 20) + 4096;
	assert_int_equal(memory_check_config(&config, &err), -EINVAL);
	config.size = (64ull << 20) + (1ull << 20);
	config.huge_pages = true;
	assert_int_equal(memory_check_config(&config, &err), -EINVAL);
	config.huge_pages = false;
	config.size = 1ull << 60;
	assert_int_equal(memory_check_config(&config, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "host"));
}

static void test_dirty_log_needs_room(void **state)
{
	uint64_t bitmap[LOW / 4096 / 64];
	struct guest_memory copy = memory;

	assert_int_equal(memory_dirty_fetch(&copy, 3, bitmap, sizeof(bitmap)), -EINVAL);
	assert_int_equal(memory_dirty_fetch(&copy, 0, bitmap, sizeof(bitmap) - 1), -ENOSPC);
	assert_int_equal(memory_dirty_fetch(&copy, 0, bitmap, sizeof(bitmap)), -EBADF);
}

/* Stands in for KVM, which unit tests do not have: it accepts memslots. */
int ioctl(int fd, unsigned long request, ...)
{
	if (request == KVM_SET_USER_MEMORY_REGION)
		return 0;
	errno = EBADF;
	return -1;
}

/* Whether the kernel can read this byte for us. The test does not cause a fault itself. */
static bool is_mapped(int fd, const uint8_t *byte)
{
	return write(fd, byte, 1) == 1;
}

static void test_ram_lies_between_guards(void **state)
{
	const struct memory_config config = {.size = 16ull << 20};
	struct guest_memory real;
	struct error err;
	uint8_t *start, *end;
	int pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(memory_init(&real, -1, &config, &err), 0);
	start = real.regions[0].hva;
	end = start + config.size;
	assert_int_equal((uintptr_t)start % (2u << 20), 0);
	assert_true(is_mapped(pipe_fds[1], start));
	assert_true(is_mapped(pipe_fds[1], end - 1));
	for (unsigned at = 1; at <= 2u << 20; at += 4095) {
		assert_false(is_mapped(pipe_fds[1], start - at));
		assert_false(is_mapped(pipe_fds[1], end + at - 1));
	}
	memory_destroy(&real);
	assert_false(is_mapped(pipe_fds[1], start));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* With huge pages or without (as the host lets it), the file is private, whole and zero. */
static void test_backs_with_huge_pages_where_it_may(void **state)
{
	struct memory_config config = {.size = 16ull << 20};
	struct guest_memory ram = {.huge = true, .count = 1};
	struct error err;
	struct stat status;
	uint8_t *hva;
	int fd = memory_file_create(&config, &err);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, config.size);
	assert_int_equal(status.st_nlink, 0);
	hva = mmap(NULL, config.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(hva, MAP_FAILED);
	ram.regions[0] = (struct memory_region){.size = config.size, .hva = hva, .ram = true};
	hva[0] = 1;
	hva[config.size - 1] = 2;
	memory_back_huge(&ram, 0, config.size);
	memory_back_huge(&ram, config.size - 1, 1);
	memory_back_huge(&ram, config.size - 1, 2); /* not whole: left alone */
	memory_back_huge(&ram, UINT64_MAX, 1);
	assert_int_equal(hva[0], 1);
	assert_int_equal(hva[config.size - 1], 2);
	assert_int_equal(hva[4096], 0);
	munmap(hva, config.size);
	close(fd);
}

/*
 * Uses memory of the pool as KVM and a device do. Before, a pool that was too small showed only
 * here, by SIGBUS. If the machine has a pool, the whole memory is there. If not, the start is
 * refused in one line with numbers.
 */
static void test_takes_huge_pages_or_says_how_many_are_missing(void **state)
{
	struct memory_config config = {.size = 64ull << 20, .huge_pages = true};
	struct memory_host host;
	struct guest_memory real;
	struct error err = {0};
	int status;

	memory_host_read_huge(&host, "");
	status = memory_init(&real, -1, &config, &err);
	if (status == 0) {
		memset(real.regions[0].hva, 1, config.size);
		assert_true(host.huge_free >= 32);
		assert_int_equal(memory_discard(&real, 0, config.size), 0);
		assert_int_equal(real.regions[0].hva[config.size - 1], 0);
		memory_destroy(&real);
		return;
	}
	assert_int_equal(status, -ENOMEM);
	assert_non_null(strstr(err.text, "no huge pages: 32 of 2 MiB needed"));
	assert_non_null(strstr(err.text, "missing"));
	assert_null(strchr(err.text, '\n'));
}

static void test_gives_pages_back(void **state)
{
	const struct memory_config config = {.size = 16ull << 20};
	struct guest_memory real;
	struct error err;
	struct stat before, after;
	uint8_t *hva;

	assert_int_equal(memory_init(&real, -1, &config, &err), 0);
	hva = real.regions[0].hva;
	memset(hva, 1, config.size);
	assert_int_equal(fstat(real.regions[0].fd, &before), 0);
	assert_int_equal(memory_discard(&real, 4096, (4ull << 20)), 0);
	assert_int_equal(hva[4095], 1);
	assert_int_equal(hva[4096], 0);
	assert_int_equal(hva[(4ull << 20) + 4095], 0);
	assert_int_equal(hva[(4ull << 20) + 4096], 1);
	assert_int_equal(memory_discard(&real, 0, config.size), 0);
	assert_int_equal(fstat(real.regions[0].fd, &after), 0);
	assert_true(before.st_blocks >= (long)(config.size / 512));
	assert_int_equal(after.st_blocks, 0);
	assert_int_equal(memory_discard(&real, 1, 4096), -EINVAL);
	assert_int_equal(memory_discard(&real, 0, 4097), -EINVAL);
	assert_int_equal(memory_discard(&real, 0, 0), -EFAULT);
	assert_int_equal(memory_discard(&real, 4096, config.size), -EFAULT);
	assert_int_equal(memory_discard(&real, UINT64_MAX & ~4095ull, 4096), -EFAULT);
	memory_destroy(&real);
}

/* A file system that cannot punch: the contents must still be gone. */
static void test_zeroes_what_cannot_be_given_back(void **state)
{
	struct guest_memory fixed = memory;

	fixed.regions[0].fd = -1;
	memset(low, 1, LOW);
	assert_int_equal(memory_discard(&fixed, 0, LOW), 0);
	assert_int_equal(low[0] | low[LOW - 1], 0);
	assert_int_equal(memory_discard(&fixed, 1ull << 40, LOW), -EFAULT); /* the window */
}

/* Linux plugs whole memory blocks: 2 GiB each if RAM at the boot ends at 64 GiB or above. */
static void test_pluggable_memory_is_aligned(void **state)
{
	static const struct {
		uint64_t boot_gib, align;
	} cases[] = {{1, 1ull << 30},  {4, 1ull << 30},	 {60, 1ull << 30},
		     {63, 2ull << 30}, {64, 2ull << 30}, {97, 2ull << 30}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t size = cases[i].boot_gib << 30;
		bool all_low = size <= MEMORY_HOLE_START;
		struct guest_memory boot = {
			.vm_fd = -1,
			.count = 1,
			.regions = {{.gpa = all_low ? 0 : MEMORY_HOLE_END,
				     .size = all_low ? size : size - MEMORY_HOLE_START,
				     .fd = -1,
				     .fd_offset = 1,
				     .ram = true}},
		};
		struct memory_config config = {.size = size, .max = size + (2ull << 20)};
		struct error err = {0};
		const struct memory_region *plug = &boot.regions[1];

		if (memory_plug_create(&boot, &config, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(plug->gpa % cases[i].align, 0);
		assert_true(plug->gpa >= boot.regions[0].gpa + boot.regions[0].size);
		assert_true(plug->size >= config.max - config.size);
		assert_int_equal(
			plug->size % (cases[i].align > 1ull << 30 ? cases[i].align : 128ull << 20),
			0);
		boot.regions[0] = *plug;
		boot.count = 1;
		memory_destroy(&boot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_translates_what_is_ram),
		cmocka_unit_test(test_refuses_all_else),
		cmocka_unit_test(test_reads_and_writes),
		cmocka_unit_test(test_checks_sizes),
		cmocka_unit_test(test_dirty_log_needs_room),
		cmocka_unit_test(test_ram_lies_between_guards),
		cmocka_unit_test(test_backs_with_huge_pages_where_it_may),
		cmocka_unit_test(test_takes_huge_pages_or_says_how_many_are_missing),
		cmocka_unit_test(test_gives_pages_back),
		cmocka_unit_test(test_zeroes_what_cannot_be_given_back),
		cmocka_unit_test(test_pluggable_memory_is_aligned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
