// SPDX-License-Identifier: BSD-2-Clause
/* The kernel log: in several answers, from another vCPU, and from a guest that answers anything. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"
#include "libguestview/dmesg.h"

struct answer {
	struct sym_dmesg head;
	char text[SYM_MESSAGE_SIZE - sizeof(struct sym_dmesg)];
};

static struct fake_guest fake;
static struct guest_error err;
static struct guest_dmesg dmesg;

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&err, 0, sizeof(err));
	return 0;
}

static void a_log_comes_in_several_answers(void **state)
{
	const struct answer first = {{3, 0}, "<5>one\n<6>two\n<6>of two lines\n"};
	const struct answer second = {{9, 4}, "<30>from a daemon\n"}, last = {{9, 0}, ""};
	const struct fake_answer answers[] = {FAKE_SAID(first), FAKE_SAID(second), FAKE_SAID(last)};

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_dmesg(&fake.guest, &fake.limit, 0, &dmesg, &err), 0);
	assert_int_equal(fake.calls, 3);
	assert_int_equal(fake.request.number, SYM_CALL_DMESG);
	assert_int_equal(fake.request.args[0], 9);
	assert_int_equal(dmesg.count, 4);
	assert_true(dmesg.complete);
	assert_int_equal(dmesg.next, 9);
	assert_int_equal(dmesg.lost, 4);
	assert_string_equal(guest_dmesg_text(&dmesg, 0), "one");
	assert_int_equal(dmesg.lines[0].level, 5);
	assert_string_equal(guest_dmesg_text(&dmesg, 2), "of two lines");
	assert_string_equal(guest_dmesg_text(&dmesg, 3), "from a daemon");
	assert_int_equal(dmesg.lines[3].level, 6);
	assert_int_equal(dmesg.lines[3].facility, 3);
	guest_dmesg_free(&dmesg);
}

static void a_vcpu_that_cannot_be_asked_is_left_out(void **state)
{
	const struct answer last = {{0, 0}, ""};
	const struct fake_answer answers[] = {{-ENOTCONN, 0, NULL, 0}, FAKE_SAID(last)};

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_dmesg(&fake.guest, &fake.limit, 0, &dmesg, &err), 0);
	assert_int_equal(fake.vcpu, 1);
	guest_dmesg_free(&dmesg);
}

static void an_old_module_is_named(void **state)
{
	const struct fake_answer answers[] = {{0, -ENOSYS, NULL, 0}};

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_dmesg(&fake.guest, &fake.limit, 0, &dmesg, &err), -EOPNOTSUPP);
	assert_string_equal(err.text, "the guest's module is too old to give its kernel log");
}

static void malformed_answers_are_refused(void **state)
{
	const struct answer back = {{4, 0}, ""}, stands = {{5, 0}, "<5>again\n"};

	assert_int_equal(guest_dmesg_decode(&back, 15, 0, &dmesg), -EPROTO);
	assert_int_equal(guest_dmesg_decode(&back, 0, 0, &dmesg), -EPROTO);
	assert_int_equal(guest_dmesg_decode(&back, SYM_MESSAGE_SIZE + 1, 0, &dmesg), -EPROTO);
	assert_int_equal(guest_dmesg_decode(&back, sizeof(back.head), 5, &dmesg), -EPROTO);
	assert_int_equal(guest_dmesg_decode(&stands, FAKE_SIZE(stands), 5, &dmesg), -EPROTO);
	assert_int_equal(dmesg.count, 0);
	assert_null(dmesg.text);
}

static void any_text_is_kept_as_lines(void **state)
{
	static const char *const texts[] = {"<",     "<>x",   "<9",	 "<12345>x",
					    "<7x>y", "plain", "\xff\x1b"};
	struct answer answer = {{1, 0}, ""};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		strcpy(answer.text, texts[i]);
		assert_true(guest_dmesg_decode(&answer, FAKE_SIZE(answer), 0, &dmesg) > 0);
		assert_int_equal(dmesg.count, i + 1);
		assert_string_equal(guest_dmesg_text(&dmesg, i), texts[i]);
		assert_int_equal(dmesg.lines[i].level, 4);
	}
	guest_dmesg_free(&dmesg);
}

/* A guest that never says "no more" gets an end: newlines only, then long texts. */
static void a_log_without_end_is_bounded(void **state)
{
	struct answer answer = {{0, UINT64_MAX}, ""};
	int status;

	memset(answer.text, '\n', sizeof(answer.text));
	do {
		answer.head.next++;
		status = guest_dmesg_decode(&answer, sizeof(answer), answer.head.next - 1, &dmesg);
	} while (status > 0);
	assert_int_equal(status, -ENOSPC);
	assert_true(dmesg.count <= GUEST_DMESG_LINES && dmesg.count > GUEST_DMESG_LINES / 2);
	assert_true(dmesg.lost == UINT64_MAX);
	guest_dmesg_free(&dmesg);
	memset(answer.text, 'x', sizeof(answer.text));
	do {
		answer.head.next++;
		status = guest_dmesg_decode(&answer, sizeof(answer), answer.head.next - 1, &dmesg);
	} while (status > 0);
	assert_int_equal(status, -ENOSPC);
	assert_true(dmesg.size <= GUEST_DMESG_TEXT && dmesg.size > GUEST_DMESG_TEXT / 2);
	guest_dmesg_free(&dmesg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_log_comes_in_several_answers, setup),
		cmocka_unit_test_setup(a_vcpu_that_cannot_be_asked_is_left_out, setup),
		cmocka_unit_test_setup(an_old_module_is_named, setup),
		cmocka_unit_test_setup(malformed_answers_are_refused, setup),
		cmocka_unit_test_setup(any_text_is_kept_as_lines, setup),
		cmocka_unit_test_setup(a_log_without_end_is_bounded, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
