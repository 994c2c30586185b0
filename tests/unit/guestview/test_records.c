// SPDX-License-Identifier: BSD-2-Clause
/* whoami, meminfo and stack: one message each, which may be of any length and hold anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"
#include "libguestview/meminfo.h"
#include "libguestview/stack.h"
#include "libguestview/whoami.h"

static struct fake_guest fake;
static struct guest_error err;

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&err, 0, sizeof(err));
	return 0;
}

static void whoami_has_all_fields(void **state)
{
	const struct sym_whoami raw = {
		.pid = 1,
		.tgid = 2,
		.ppid = 3,
		.uid = 4,
		.cpu = 5,
		.flags = SYM_WHOAMI_KERNEL_THREAD | SYM_WHOAMI_IN_KERNEL,
		.user_rip = 6,
		.user_rsp = 7,
		.start_ns = 8,
		.comm = "init",
		.cgroup = "/init.scope",
	};
	const struct fake_answer answers[] = {{0, sizeof(raw), &raw, sizeof(raw)}};
	struct guest_whoami task;

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_whoami(&fake.guest, 1, &fake.limit, &task, &err), 0);
	assert_int_equal(task.pid, 1);
	assert_int_equal(task.tgid, 2);
	assert_int_equal(task.ppid, 3);
	assert_int_equal(task.uid, 4);
	assert_int_equal(task.cpu, 5);
	assert_true(task.kernel_thread && task.in_kernel && !task.idle);
	assert_int_equal(task.user_rip, 6);
	assert_int_equal(task.user_rsp, 7);
	assert_int_equal(task.start_ns, 8);
	assert_string_equal(task.comm, "init");
	assert_string_equal(task.cgroup, "/init.scope");
}

static void texts_without_an_end_are_ended(void **state)
{
	struct guest_whoami task;
	struct sym_whoami raw;

	memset(&raw, 0xff, sizeof(raw));
	memset(&task, 'x', sizeof(task));
	assert_int_equal(guest_whoami_decode(sizeof(raw), &raw, sizeof(raw), &task), 0);
	assert_int_equal(strlen(task.comm), sizeof(raw.comm));
	assert_int_equal(strlen(task.cgroup), sizeof(raw.cgroup));
	assert_int_equal(task.comm[0], (char)0xff);
}

static void whoami_of_another_length_is_refused(void **state)
{
	static const uint8_t bytes[SYM_MESSAGE_SIZE];
	static const size_t size = sizeof(struct sym_whoami);
	static const struct {
		int64_t value;
		size_t length;
	} cases[] = {
		{0, 0},
		{(int64_t)size, 0},
		{(int64_t)size - 1, size - 1},
		{(int64_t)size, size - 1},
		{(int64_t)size - 1, size},
		{(int64_t)size + 1, size + 1},
		{SYM_MESSAGE_SIZE, SYM_MESSAGE_SIZE},
		{-ENODATA, size},
		{INT64_MAX, size},
	};
	struct guest_whoami task;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(guest_whoami_decode(cases[i].value, bytes, cases[i].length, &task),
				 -EPROTO);
}

static void meminfo_has_all_fields(void **state)
{
	const struct sym_meminfo raw = {1, 2, 3, 4, 5, 6, 7, UINT64_MAX};
	const struct fake_answer answers[] = {{0, sizeof(raw), &raw, sizeof(raw)}};
	struct guest_meminfo memory;

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_meminfo(&fake.guest, 0, &fake.limit, &memory, &err), 0);
	assert_int_equal(memory.mem_total, 1);
	assert_int_equal(memory.mem_free, 2);
	assert_int_equal(memory.mem_available, 3);
	assert_int_equal(memory.swap_total, 4);
	assert_int_equal(memory.swap_free, 5);
	assert_int_equal(memory.swap_in, 6);
	assert_int_equal(memory.swap_out, 7);
	assert_int_equal(memory.major_faults, UINT64_MAX);
}

static void meminfo_of_another_length_is_refused(void **state)
{
	const struct sym_meminfo raw = {0};
	const struct fake_answer answers[] = {{0, sizeof(raw), &raw, sizeof(raw) - 8}};
	struct guest_meminfo memory;

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_meminfo(&fake.guest, 0, &fake.limit, &memory, &err), -EPROTO);
	assert_string_equal(err.text, "vCPU 0: the guest answered 56 bytes, not 64");
	assert_int_equal(guest_meminfo_decode(&raw, 0, &memory), -EPROTO);
	assert_int_equal(guest_meminfo_decode(&raw, sizeof(raw) + 1, &memory), -EPROTO);
}

static struct guest_stack stack;

static int ask_stack(int64_t value, const void *text, size_t length)
{
	const struct fake_answer answers[] = {{0, value, text, length}};

	memset(&stack, 0xff, sizeof(stack));
	fake_guest_answers(&fake, answers);
	return guest_stack(&fake.guest, 0, &fake.limit, &stack, &err);
}

static void a_stack_is_cut_into_frames(void **state)
{
	static const char text[] = "a+0x1/0x2\n\nb+0x3/0x4 [module]\nends in the middle";

	assert_int_equal(ask_stack(sizeof(text) - 1, text, sizeof(text) - 1), 0);
	assert_int_equal(fake.request.args[0], SYM_STACK_SYMBOLS);
	assert_int_equal(stack.count, 3);
	assert_string_equal(guest_stack_frame(&stack, 0), "a+0x1/0x2");
	assert_string_equal(guest_stack_frame(&stack, 1), "b+0x3/0x4 [module]");
	assert_string_equal(guest_stack_frame(&stack, 2), "ends in the middle");
}

static void a_stack_may_be_empty(void **state)
{
	assert_int_equal(ask_stack(0, "", 0), 0);
	assert_int_equal(stack.count, 0);
	assert_int_equal(ask_stack(3, "\n\n\n", 3), 0);
	assert_int_equal(stack.count, 0);
}

static void what_follows_a_nul_is_left_out(void **state)
{
	assert_int_equal(ask_stack(7, "a\nb\0c\nd", 7), 0);
	assert_int_equal(stack.count, 2);
	assert_string_equal(guest_stack_frame(&stack, 1), "b");
}

/* All the message is one frame; or as many frames as it can hold. */
static void a_stack_may_fill_the_message(void **state)
{
	char text[SYM_MESSAGE_SIZE];

	memset(text, 'x', sizeof(text));
	assert_int_equal(ask_stack(sizeof(text), text, sizeof(text)), 0);
	assert_int_equal(stack.count, 1);
	assert_int_equal(strlen(guest_stack_frame(&stack, 0)), sizeof(text));
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = '\n';
	assert_int_equal(ask_stack(sizeof(text), text, sizeof(text)), 0);
	assert_int_equal(stack.count, GUEST_STACK_FRAMES);
	assert_string_equal(guest_stack_frame(&stack, GUEST_STACK_FRAMES - 1), "x");
}

static void a_stack_that_is_too_long_is_refused(void **state)
{
	assert_int_equal(ask_stack(SYM_MESSAGE_SIZE, NULL, SYM_MESSAGE_SIZE + 1), -EPROTO);
	assert_int_equal(guest_stack_decode(0, SIZE_MAX, &stack), -EPROTO);
	assert_int_equal(stack.count, 0);
}

static void a_guest_without_a_stack_says_why(void **state)
{
	assert_int_equal(ask_stack(-ENODATA, "a\n", 2), -EIO);
	assert_string_equal(err.text, "the guest could not give its stack (-61)");
	assert_int_equal(stack.count, 0);
}

static void records_stop_with_the_guest(void **state)
{
	struct guest_meminfo memory;
	struct guest_whoami task;

	fake.end_after = 1;
	assert_int_equal(guest_whoami(&fake.guest, 0, &fake.limit, &task, &err), -ESHUTDOWN);
	assert_int_equal(guest_meminfo(&fake.guest, 0, &fake.limit, &memory, &err), -ESHUTDOWN);
	assert_int_equal(guest_stack(&fake.guest, 0, &fake.limit, &stack, &err), -ESHUTDOWN);
	assert_string_equal(err.text, "it has ended");
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(whoami_has_all_fields),
		CASE(texts_without_an_end_are_ended),
		CASE(whoami_of_another_length_is_refused),
		CASE(meminfo_has_all_fields),
		CASE(meminfo_of_another_length_is_refused),
		CASE(a_stack_is_cut_into_frames),
		CASE(a_stack_may_be_empty),
		CASE(what_follows_a_nul_is_left_out),
		CASE(a_stack_may_fill_the_message),
		CASE(a_stack_that_is_too_long_is_refused),
		CASE(a_guest_without_a_stack_says_why),
		CASE(records_stop_with_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
