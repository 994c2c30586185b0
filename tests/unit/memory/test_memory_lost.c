// SPDX-License-Identifier: BSD-2-Clause
/* Guest memory without a page: the access completes, and the VM learns of it. */
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "memory/memory.h"
#include "memory/memory_lost.h"
#include "util/event_loop.h"

static struct event_loop *loop;
static unsigned reports;

/* Stands in for KVM, which unit tests do not have: it accepts memslots. */
int ioctl(int fd, unsigned long request, ...)
{
	if (request == KVM_SET_USER_MEMORY_REGION)
		return 0;
	errno = EBADF;
	return -1;
}

static void report(void *opaque)
{
	reports++;
	event_loop_quit(loop);
}

static void create(struct guest_memory *memory)
{
	const struct memory_config config = {.size = 16ull << 20};
	struct error err;

	reports = 0;
	assert_int_equal(event_loop_create(&loop), 0);
	assert_int_equal(memory_init(memory, -1, &config, &err), 0);
	assert_int_equal(memory_lost_watch(memory, loop, report, NULL, &err), 0);
	/* Beyond the file's end the host gives no page, as on a file system that is full. */
	assert_int_equal(ftruncate(memory->regions[0].fd, 8 << 20), 0);
}

static void destroy(struct guest_memory *memory)
{
	memory_lost_forget(memory);
	memory_destroy(memory);
	event_loop_destroy(loop);
}

static void a_lost_page_is_reported_and_kills_nobody(void **state)
{
	struct guest_memory memory;
	struct error err = {0};
	uint32_t value = 0x12345678, back = 0;

	create(&memory);
	assert_int_equal(memory_write(&memory, 4096, &value, sizeof(value)), 0);
	assert_false(memory_lost(&memory));
	assert_int_equal(memory_write(&memory, 9 << 20, &value, sizeof(value)), 0);
	assert_true(memory_lost(&memory));
	assert_int_equal(memory_read(&memory, 9 << 20, &back, sizeof(back)), 0);
	assert_int_equal(back, value);
	/* Across the border of two pages, and at the very end. */
	assert_int_equal(memory_write(&memory, (10 << 20) - 2, &value, sizeof(value)), 0);
	assert_int_equal(memory_write(&memory, (16 << 20) - 4, &value, sizeof(value)), 0);
	event_loop_run(loop);
	assert_int_equal(reports, 1);
	assert_int_equal(memory_lost_explain(&err), -ENOMEM);
	assert_non_null(strstr(err.text, "host has no memory"));
	destroy(&memory);
}

static void one_memory_is_watched_at_a_time(void **state)
{
	struct guest_memory memory, other = {0};
	struct error err;

	create(&memory);
	assert_int_equal(memory_lost_watch(&other, loop, report, NULL, &err), -EBUSY);
	assert_null(other.watch);
	destroy(&memory);
	create(&memory); /* and again */
	destroy(&memory);
}

/* Outside of guest memory: status 1 and one line, and no signal either. */
static void other_memory_ends_the_process_in_order(void **state)
{
	int pipe_fds[2], status;
	char text[256] = "";
	pid_t child;

	assert_int_equal(pipe(pipe_fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct guest_memory memory;
		int fd = memfd_create("other", 0);
		volatile uint8_t *page;

		dup2(pipe_fds[1], STDERR_FILENO);
		create(&memory);
		page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		*page = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_true(read(pipe_fds[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "SIGBUS"));
	assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_page_is_reported_and_kills_nobody),
		cmocka_unit_test(one_memory_is_watched_at_a_time),
		cmocka_unit_test(other_memory_ends_the_process_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
