// SPDX-License-Identifier: BSD-2-Clause
/* A task's stack: of one that sleeps, of one that runs elsewhere, and from a guest that lies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"
#include "libguestview/task_stack.h"

struct answer {
	struct sym_task_stack head;
	char text[SYM_MESSAGE_SIZE - sizeof(struct sym_task_stack)];
};

static struct fake_guest fake;
static struct guest_error err;
static struct guest_task_stack task;

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&err, 0, sizeof(err));
	memset(&task, 0xff, sizeof(task));
	return 0;
}

static int ask(uint32_t pid)
{
	return guest_task_stack(&fake.guest, &fake.limit, pid, &task, &err);
}

static void a_sleeping_task_has_all_fields(void **state)
{
	const struct answer answer = {
		{.pid = 12,
		 .tgid = 11,
		 .state = 'S',
		 .cpu = 1,
		 .start_ns = 13,
		 .comm = "sleep",
		 .wait_channel = "hrtimer_nanosleep"},
		"hrtimer_nanosleep+0x1/0x2\ndo_syscall_64+0x3/0x4\n",
	};
	const struct fake_answer answers[] = {FAKE_SAID(answer)};

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(12), 0);
	assert_int_equal(fake.calls, 1);
	assert_int_equal(fake.request.number, SYM_CALL_TASK_STACK);
	assert_int_equal(fake.request.args[0], 12);
	assert_int_equal(task.pid, 12);
	assert_int_equal(task.tgid, 11);
	assert_int_equal(task.state, 'S');
	assert_int_equal(task.cpu, 1);
	assert_int_equal(task.start_ns, 13);
	assert_false(task.running || task.user);
	assert_string_equal(task.comm, "sleep");
	assert_string_equal(task.wait_channel, "hrtimer_nanosleep");
	assert_int_equal(task.stack.count, 2);
	assert_string_equal(guest_stack_frame(&task.stack, 1), "do_syscall_64+0x3/0x4");
}

static const struct answer elsewhere = {
	{.pid = 12, .state = 'R', .cpu = 1, .flags = SYM_TASK_STACK_RUNNING}, ""};

static void the_vcpu_that_runs_a_task_is_asked(void **state)
{
	const struct answer there = {
		{.pid = 12, .state = 'R', .cpu = 1, .flags = SYM_TASK_STACK_RUNNING},
		"delay_tsc+0x1/0x2\n"};
	const struct fake_answer answers[] = {FAKE_SAID(elsewhere), FAKE_SAID(there)};

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(12), 0);
	assert_int_equal(fake.calls, 2);
	assert_int_equal(fake.vcpu, 1);
	assert_true(task.running);
	assert_string_equal(guest_stack_frame(&task.stack, 0), "delay_tsc+0x1/0x2");
}

static void a_task_that_only_runs_is_said_to_run(void **state)
{
	const struct answer user = {
		{.pid = 12, .flags = SYM_TASK_STACK_RUNNING | SYM_TASK_STACK_USER}, ""};
	const struct fake_answer hangs[] = {FAKE_SAID(elsewhere), {-ENOTRECOVERABLE, 0, NULL, 0}};
	const struct fake_answer gone[] = {FAKE_SAID(elsewhere), {0, -ESRCH, NULL, 0}};
	const struct fake_answer short_one[] = {FAKE_SAID(elsewhere), {0, 1, &user, 1}};
	const struct fake_answer in_user[] = {FAKE_SAID(user)};

	fake_guest_answers(&fake, hangs);
	assert_int_equal(ask(12), 0);
	assert_true(task.running && task.stack.count == 0 && task.cpu == 1);
	fake_guest_answers(&fake, gone);
	assert_int_equal(ask(12), 0);
	assert_true(task.running && task.stack.count == 0);
	fake_guest_answers(&fake, short_one);
	assert_int_equal(ask(12), 0);
	assert_true(task.running && task.stack.count == 0 && task.pid == 12);
	fake_guest_answers(&fake, in_user);
	assert_int_equal(ask(12), 0);
	assert_int_equal(fake.calls, 1);
	assert_true(task.running && task.user);
}

/* A guest that names a CPU that is not there, or always another one, is asked twice at most. */
static void a_wild_cpu_is_not_asked(void **state)
{
	struct answer answer = elsewhere;
	const struct fake_answer answers[] = {FAKE_SAID(answer)};

	answer.head.cpu = UINT32_MAX;
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(12), 0);
	assert_int_equal(fake.calls, 1);
	answer.head.cpu = 0;
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(12), 0);
	assert_int_equal(fake.calls, 1);
	answer.head.cpu = 1;
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(12), 0);
	assert_int_equal(fake.calls, 2);
}

static void a_vcpu_that_cannot_be_asked_is_left_out(void **state)
{
	const struct answer answer = {{.pid = 1, .state = 'S'}, ""};
	const struct fake_answer answers[] = {{-ENOTCONN, 0, NULL, 0}, FAKE_SAID(answer)};
	const struct fake_answer none[] = {{-ENOTCONN, 0, NULL, 0}};

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(1), 0);
	assert_int_equal(fake.vcpu, 1);
	fake_guest_answers(&fake, none);
	assert_int_equal(ask(1), -ENOTCONN);
	assert_int_equal(fake.calls, 2);
}

static void refusals_are_named(void **state)
{
	const struct fake_answer missing[] = {{0, -ESRCH, NULL, 0}};
	const struct fake_answer old[] = {{0, -ENOSYS, NULL, 0}};
	const struct fake_answer other[] = {{0, -EINVAL, NULL, 0}};

	fake_guest_answers(&fake, missing);
	assert_int_equal(ask(77), -ESRCH);
	assert_string_equal(err.text, "the guest has no task 77");
	fake_guest_answers(&fake, old);
	assert_int_equal(ask(77), -EOPNOTSUPP);
	assert_string_equal(err.text, "the guest's module is too old to give a task's stack");
	fake_guest_answers(&fake, other);
	assert_int_equal(ask(77), -EIO);
	assert_string_equal(err.text, "the guest could not give the stack of 77 (-22)");
}

static void malformed_answers_are_refused(void **state)
{
	const struct answer answer = {{.pid = 1}, ""};
	const struct fake_answer answers[] = {{0, 8, &answer, 8}};

	assert_int_equal(guest_task_stack_decode(&answer, 0, &task), -EPROTO);
	assert_int_equal(guest_task_stack_decode(&answer, sizeof(answer.head) - 1, &task), -EPROTO);
	assert_int_equal(guest_task_stack_decode(&answer, SYM_MESSAGE_SIZE + 1, &task), -EPROTO);
	assert_int_equal(guest_task_stack_decode(&answer, SIZE_MAX, &task), -EPROTO);
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(1), -EPROTO);
	assert_string_equal(err.text, "the guest's answer about task 1 is malformed");
}

static void wild_contents_are_bounded(void **state)
{
	struct answer answer;

	memset(&answer, 0xff, sizeof(answer));
	assert_int_equal(guest_task_stack_decode(&answer, sizeof(answer), &task), 0);
	assert_int_equal(task.state, '?');
	assert_int_equal(strlen(task.comm), sizeof(answer.head.comm));
	assert_int_equal(strlen(task.wait_channel), sizeof(answer.head.wait_channel));
	assert_int_equal(task.stack.count, 1);
	assert_int_equal(strlen(guest_stack_frame(&task.stack, 0)), sizeof(answer.text));
	for (size_t i = 1; i < sizeof(answer.text); i += 2)
		answer.text[i] = '\n';
	assert_int_equal(guest_task_stack_decode(&answer, sizeof(answer), &task), 0);
	assert_int_equal(task.stack.count, GUEST_STACK_FRAMES);
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_sleeping_task_has_all_fields),
		CASE(the_vcpu_that_runs_a_task_is_asked),
		CASE(a_task_that_only_runs_is_said_to_run),
		CASE(a_wild_cpu_is_not_asked),
		CASE(a_vcpu_that_cannot_be_asked_is_left_out),
		CASE(refusals_are_named),
		CASE(malformed_answers_are_refused),
		CASE(wild_contents_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
