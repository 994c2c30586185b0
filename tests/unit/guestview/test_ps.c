// SPDX-License-Identifier: BSD-2-Clause
/* ps, and the fetch in pieces below it: a guest that is slow, lies, changes its mind or ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"
#include "libguestview/fetch.h"
#include "libguestview/ps.h"

#define PIECE (SYM_MESSAGE_SIZE / sizeof(struct sym_task)) /* tasks of a full one */

static struct fake_guest fake;
static struct guest_error err;
static struct guest_ps list;
static struct sym_task tasks[PIECE];

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&err, 0, sizeof(err));
	memset(&list, 0xff, sizeof(list));
	memset(tasks, 0, sizeof(tasks));
	for (size_t i = 0; i < PIECE; i++)
		tasks[i].pid = (uint32_t)i + 1;
	return 0;
}

static int ask(void)
{
	return guest_ps(&fake.guest, &fake.limit, false, &list, &err);
}

static void nothing_is_left(void)
{
	assert_null(list.tasks);
	assert_int_equal(list.count, 0);
}

static void a_listing_comes_in_pieces(void **state)
{
	const struct fake_answer answers[] = {
		{.value = 7}, /* the cookie */
		{0, sizeof(tasks), tasks, sizeof(tasks)},
		{0, 2 * sizeof(tasks[0]), tasks, 2 * sizeof(tasks[0])},
		{.value = 0},
	};

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(), 0);
	assert_int_equal(list.count, PIECE + 2);
	assert_true(list.complete);
	assert_int_equal(list.tasks[PIECE - 1].pid, PIECE);
	assert_int_equal(list.tasks[PIECE].pid, 1);
	assert_int_equal(fake.request.args[0], 7);
	assert_int_equal(fake.request.args[1], (PIECE + 2) * sizeof(tasks[0]));
	guest_ps_free(&list);
	nothing_is_left();
}

static void a_task_has_all_fields(void **state)
{
	const struct sym_task raw = {
		.pid = 1,
		.tgid = 2,
		.ppid = 3,
		.uid = 4,
		.state = 'S',
		.flags = SYM_TASK_KERNEL_THREAD,
		.cpu = 5,
		.threads = 6,
		.rss = 7,
		.utime_ns = 8,
		.stime_ns = 9,
		.start_ns = 10,
		.comm = "kswapd0",
		.cgroup = "/",
	};
	struct guest_task task;

	guest_task_decode(&raw, &task);
	assert_int_equal(task.pid, 1);
	assert_int_equal(task.tgid, 2);
	assert_int_equal(task.ppid, 3);
	assert_int_equal(task.uid, 4);
	assert_int_equal(task.state, 'S');
	assert_true(task.kernel_thread);
	assert_int_equal(task.cpu, 5);
	assert_int_equal(task.threads, 6);
	assert_int_equal(task.rss, 7);
	assert_int_equal(task.utime_ns, 8);
	assert_int_equal(task.stime_ns, 9);
	assert_int_equal(task.start_ns, 10);
	assert_string_equal(task.comm, "kswapd0");
	assert_string_equal(task.cgroup, "/");
}

static void a_state_is_one_printable_character(void **state)
{
	static const uint32_t states[] = {0, ' ', 0x1b, 0x7f, 0xff, 'S' + 0x100, UINT32_MAX};
	struct sym_task raw;
	struct guest_task task;

	memset(&raw, 0xff, sizeof(raw));
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		raw.state = states[i];
		guest_task_decode(&raw, &task);
		assert_int_equal(task.state, '?');
	}
	assert_int_equal(strlen(task.comm), sizeof(raw.comm));
	assert_int_equal(strlen(task.cgroup), sizeof(raw.cgroup));
}

static void a_listing_that_is_being_made_is_waited_for(void **state)
{
	const struct fake_answer answers[] = {
		{.value = -EBUSY},  {.value = 7},
		{.value = -EAGAIN}, {0, sizeof(tasks[0]), tasks, sizeof(tasks[0])},
		{.value = 0},
	};

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(), 0);
	assert_int_equal(list.count, 1);
	assert_int_equal(fake.calls, 5);
	guest_ps_free(&list);
}

/* Each is the second piece, after a good one. */
static void a_piece_that_lies_is_refused(void **state)
{
	static const struct {
		int64_t value;
		size_t length;
	} cases[] = {
		{1, 1},						   /* short */
		{sizeof(tasks[0]) + 1, sizeof(tasks[0]) + 1},	   /* ends in the middle */
		{sizeof(tasks[0]), 2 * sizeof(tasks[0])},	   /* more than it says */
		{2 * sizeof(tasks[0]), sizeof(tasks[0])},	   /* less than it says */
		{INT64_MAX, sizeof(tasks[0])},			   /* a lot less */
		{sizeof(tasks[0]), 0},				   /* nothing at all */
		{0, sizeof(tasks[0])},				   /* something at the end */
		{sizeof(tasks), sizeof(tasks) + sizeof(tasks[0])}, /* too long */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fake_answer answers[] = {
			{.value = 7},
			{0, sizeof(tasks), tasks, sizeof(tasks)},
			{0, cases[i].value, tasks, cases[i].length},
		};

		fake_guest_answers(&fake, answers);
		assert_int_equal(ask(), -EPROTO);
		assert_int_equal(fake.calls, 3);
		nothing_is_left();
	}
}

static void a_guest_without_a_listing_says_so(void **state)
{
	static const struct fake_answer none[] = {{.value = 0}};
	static const struct fake_answer fails[] = {{.value = -ENOMEM}};
	static const struct fake_answer stale[] = {{.value = 7}, {.value = -ESTALE}};

	fake_guest_answers(&fake, none);
	assert_int_equal(ask(), -EPROTO);
	assert_string_equal(err.text, "the guest gave no task list");
	fake_guest_answers(&fake, fails);
	assert_int_equal(ask(), -EIO);
	assert_string_equal(err.text, "the guest could not make its task list (-12)");
	fake_guest_answers(&fake, stale);
	assert_int_equal(ask(), -EIO);
	nothing_is_left();
}

static void an_endless_listing_is_cut(void **state)
{
	const struct fake_answer answers[] = {
		{.value = 7},
		{0, sizeof(tasks), tasks, sizeof(tasks)},
	};

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask(), 0);
	assert_int_equal(list.count, GUEST_PS_MAX);
	assert_false(list.complete);
	guest_ps_free(&list);
}

static void the_end_of_the_guest_ends_the_fetch(void **state)
{
	const struct fake_answer answers[] = {
		{.value = 7},
		{0, sizeof(tasks), tasks, sizeof(tasks)},
	};

	fake_guest_answers(&fake, answers);
	fake.end_after = 5;
	assert_int_equal(ask(), -ESHUTDOWN);
	assert_string_equal(err.text, "it has ended");
	assert_int_equal(fake.calls, 5);
	nothing_is_left();
}

static void the_limit_holds_over_all_calls(void **state)
{
	const struct fake_answer pieces[] = {
		{.value = 7},
		{0, sizeof(tasks[0]), tasks, sizeof(tasks[0])},
	};
	static const struct fake_answer never[] = {{.value = 7}, {.value = -EAGAIN}};

	fake_guest_answers(&fake, pieces);
	fake.cut_after = 10;
	assert_int_equal(ask(), -ETIMEDOUT);
	assert_int_equal(fake.calls, 10);
	assert_string_equal(err.text, "the guest did not make its task list in time");
	nothing_is_left();
	atomic_store(&fake.cut, false);
	fake_guest_answers(&fake, never);
	fake.cut_after = 4;
	assert_int_equal(ask(), -ETIMEDOUT);
	assert_int_equal(fake.calls, 4);
}

static void threads_are_asked_for(void **state)
{
	static const struct fake_answer none[] = {{.value = 0}};

	fake_guest_answers(&fake, none);
	guest_ps(&fake.guest, &fake.limit, true, &list, &err);
	assert_int_equal(fake.request.number, SYM_CALL_TASKS);
	assert_int_equal(fake.request.args[0], 0);
	assert_int_equal(fake.request.args[2], SYM_TASKS_THREADS);
}

/* A task's records as a module with texts sends them. */
struct texted {
	struct sym_task task;
	union {
		struct sym_task_text head;
		uint8_t bytes[2 * sizeof(struct sym_task)];
	};
};

/* A task with @records of text: a wait channel "do_wait", and @length bytes of command line. */
static struct texted texted(uint32_t pid, unsigned records, uint16_t length)
{
	struct texted made = {.task = {.pid = pid, .flags = records << SYM_TASK_TEXT_SHIFT}};

	made.head = (struct sym_task_text){7, length};
	memcpy(made.bytes + sizeof(made.head), "do_wait", 7);
	memset(made.bytes + sizeof(made.head) + 7, 'x', sizeof(made.bytes) - sizeof(made.head) - 7);
	return made;
}

static int ask_texts(void)
{
	return guest_ps(&fake.guest, &fake.limit, GUEST_PS_TEXTS, &list, &err);
}

static void texts_follow_their_task(void **state)
{
	struct texted records[2] = {texted(1, 2, 150), texted(2, 0, 0)};
	const size_t first = 2 * sizeof(struct sym_task), rest = 2 * sizeof(struct sym_task);
	const struct fake_answer answers[] = {
		{.value = 7},
		{0, (int64_t)first, records, first}, /* the text continues in the next piece */
		{0, (int64_t)rest, (uint8_t *)records + first, rest},
		{.value = 0},
	};

	memcpy(records[0].bytes + sizeof(struct sym_task_text) + 7, "sh\0-c\0", 6);
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask_texts(), 0);
	assert_true(list.texts && list.complete);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.tasks[0].wait_channel, "do_wait");
	assert_int_equal(list.tasks[0].args_length, 150);
	assert_memory_equal(guest_task_args(&list, &list.tasks[0]), "sh\0-c\0xxx", 9);
	assert_int_equal(strlen(list.text + list.tasks[0].args + 6), 144);
	assert_int_equal(list.text_size, 151);
	assert_string_equal(list.tasks[1].wait_channel, "");
	assert_string_equal(guest_task_args(&list, &list.tasks[1]), "");
	guest_ps_free(&list);
}

static void an_old_module_has_no_texts(void **state)
{
	const struct fake_answer answers[] = {
		{.value = -EINVAL},
		{.value = 7},
		{0, sizeof(tasks), tasks, sizeof(tasks)},
		{.value = 0},
	};

	fake_guest_answers(&fake, answers);
	tasks[0].flags = 0xff00; /* means nothing there */
	assert_int_equal(ask_texts(), 0);
	assert_false(list.texts);
	assert_int_equal(list.count, PIECE);
	assert_string_equal(list.tasks[0].wait_channel, "");
	guest_ps_free(&list);
}

static void a_text_of_a_wrong_length_is_refused(void **state)
{
	static const struct sym_task_text heads[] = {
		{0, 2 * sizeof(struct sym_task) - sizeof(heads[0]) + 1},
		{SYM_TASK_CHANNEL_MAX + 1, 0},
		{UINT16_MAX, UINT16_MAX},
	};
	struct texted record = texted(1, 2, 0);
	const struct fake_answer answers[] = {
		{.value = 7}, {0, sizeof(record), &record, sizeof(record)}, {.value = 0}};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		record.head = heads[i];
		fake_guest_answers(&fake, answers);
		assert_int_equal(ask_texts(), -EPROTO);
		nothing_is_left();
	}
	record = texted(1, 3, 0); /* and one record is missing */
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask_texts(), -EPROTO);
	assert_string_equal(err.text, "the guest's task list ends inside of a text");
	nothing_is_left();
}

static void a_wait_channel_is_cut(void **state)
{
	struct texted record = texted(1, 2, 1);
	const struct fake_answer answers[] = {
		{.value = 7}, {0, sizeof(record), &record, sizeof(record)}, {.value = 0}};

	memset(record.bytes + sizeof(record.head), 0xff, SYM_TASK_CHANNEL_MAX);
	record.head.wait_channel = SYM_TASK_CHANNEL_MAX;
	fake_guest_answers(&fake, answers);
	assert_int_equal(ask_texts(), 0);
	assert_int_equal(strlen(list.tasks[0].wait_channel),
			 sizeof(list.tasks[0].wait_channel) - 1);
	assert_string_equal(guest_task_args(&list, &list.tasks[0]), "x");
	guest_ps_free(&list);
}

/* A guest whose command lines never end gets a bound, and the tasks are still there. */
static void command_lines_are_bounded(void **state)
{
	struct texted record = texted(1, 2, 200);
	const struct fake_answer answers[] = {{.value = 7},
					      {0, sizeof(record), &record, sizeof(record)}};
	size_t whole = 0;

	fake_guest_answers(&fake, answers);
	assert_int_equal(ask_texts(), 0);
	assert_false(list.complete);
	assert_true(list.text_size <= GUEST_PS_TEXT && list.text_size > GUEST_PS_TEXT - 256);
	assert_true(list.count > GUEST_PS_TEXT / 201 && list.count <= GUEST_PS_MAX);
	for (size_t i = 0; i < list.count; i++)
		whole += !list.tasks[i].args_cut && list.tasks[i].args_length == 200;
	assert_int_equal(whole, GUEST_PS_TEXT / 201);
	assert_string_equal(list.tasks[list.count - 2].wait_channel, "do_wait");
	guest_ps_free(&list);
}

static int refuse(const void *record, void *opaque, struct guest_error *words)
{
	return ++*(unsigned *)opaque < 3 ? 0 : guest_error_set(words, -ENOSPC, "no more");
}

/* Records whose size does not divide the message's, and a reader who has enough. */
static void a_reader_may_end_the_fetch(void **state)
{
	static const struct guest_listing listing = {
		.name = "listing", .number = 9, .record = 1000, .max = 100};
	static const uint8_t bytes[2000];
	static const struct fake_answer answers[] = {{.value = 7}, {0, 2000, bytes, 2000}};
	unsigned seen = 0;
	bool complete;

	fake_guest_answers(&fake, answers);
	assert_int_equal(
		guest_fetch(&fake.guest, &fake.limit, &listing, refuse, &seen, &complete, &err),
		-ENOSPC);
	assert_string_equal(err.text, "no more");
	assert_int_equal(seen, 3);
	assert_int_equal(fake.calls, 3);
	assert_int_equal(fake.request.message_size, 2000);
	assert_int_equal(fake.request.args[1], 2000);
	assert_false(complete);
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_listing_comes_in_pieces),
		CASE(a_task_has_all_fields),
		CASE(a_state_is_one_printable_character),
		CASE(a_listing_that_is_being_made_is_waited_for),
		CASE(a_piece_that_lies_is_refused),
		CASE(a_guest_without_a_listing_says_so),
		CASE(an_endless_listing_is_cut),
		CASE(the_end_of_the_guest_ends_the_fetch),
		CASE(the_limit_holds_over_all_calls),
		CASE(threads_are_asked_for),
		CASE(texts_follow_their_task),
		CASE(an_old_module_has_no_texts),
		CASE(a_text_of_a_wrong_length_is_refused),
		CASE(a_wait_channel_is_cut),
		CASE(command_lines_are_bounded),
		CASE(a_reader_may_end_the_fetch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
