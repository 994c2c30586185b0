// SPDX-License-Identifier: BSD-2-Clause
/* One call: the influence of the guest, the embedder and the limit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"

static struct fake_guest fake;
static struct guest_error err;

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&err, 0, sizeof(err));
	return 0;
}

static int ping(unsigned vcpu, struct sym_call_result *result)
{
	const struct sym_call_request request = {.number = SYM_CALL_PING, .args = {2, 3}};

	return guest_call(&fake.guest, vcpu, &fake.limit, &request, result, &err);
}

static void an_answer_comes_back(void **state)
{
	static const struct fake_answer answers[] = {{.value = 5}};
	struct sym_call_result result;

	fake_guest_answers(&fake, answers);
	assert_int_equal(ping(1, &result), 0);
	assert_int_equal(result.value, 5);
	assert_int_equal(fake.vcpu, 1);
	assert_int_equal(fake.request.number, SYM_CALL_PING);
	assert_int_equal(fake.request.args[1], 3);
}

static void a_bad_moment_is_tried_again(void **state)
{
	static const struct fake_answer answers[] = {
		{.status = -EAGAIN},
		{.status = -EBUSY},
		{.value = 5},
	};
	struct sym_call_result result;

	fake_guest_answers(&fake, answers);
	assert_int_equal(ping(0, &result), 0);
	assert_int_equal(result.value, 5);
	assert_int_equal(fake.calls, 3);
}

static void errors_of_the_engine_have_words(void **state)
{
	static const struct {
		int status;
		const char *words;
	} cases[] = {
		{-ENOTCONN, "is symbiotic.ko loaded?"},
		{-ENOTRECOVERABLE, "since one was abandoned"},
		{-EOPNOTSUPP, "CET shadow stacks"},
		{-ETIMEDOUT, "did not answer in time"},
		{-EPROTO, "wrong length"},
		{-EFAULT, "Bad address"},
	};
	struct sym_call_result result;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fake_answer answers[] = {{.status = cases[i].status}};

		fake_guest_answers(&fake, answers);
		assert_int_equal(ping(0, &result), cases[i].status);
		assert_non_null(strstr(err.text, "vCPU 0: "));
		assert_non_null(strstr(err.text, cases[i].words));
		assert_int_equal(fake.calls, 1);
	}
}

static void an_unknown_vcpu_is_refused(void **state)
{
	struct sym_call_result result;

	assert_int_equal(ping(2, &result), -ENXIO);
	assert_string_equal(err.text, "vCPU 2: this VM has vCPUs 0 to 1");
	assert_int_equal(fake.calls, 0);
}

static void a_held_guest_is_not_asked(void **state)
{
	struct sym_call_result result;

	fake.held = -EBUSY;
	assert_int_equal(ping(0, &result), -EBUSY);
	assert_string_equal(err.text, "it is held");
	fake.held = -EOPNOTSUPP;
	assert_int_equal(ping(0, &result), -EOPNOTSUPP);
	assert_int_equal(fake.calls, 0);
}

static void the_end_of_the_guest_ends_the_tries(void **state)
{
	struct sym_call_result result;

	fake.end_after = 3; /* it says -EAGAIN until then */
	assert_int_equal(ping(0, &result), -ESHUTDOWN);
	assert_string_equal(err.text, "it has ended");
	assert_int_equal(fake.calls, 3);
}

static void a_passed_limit_makes_no_call(void **state)
{
	struct sym_call_result result;

	fake.limit.end_ns = 1;
	assert_int_equal(ping(0, &result), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "did not answer in time"));
	assert_int_equal(fake.calls, 0);
}

static void a_cut_limit_ends_the_tries(void **state)
{
	struct sym_call_result result;

	fake.cut_after = 2;
	assert_int_equal(ping(0, &result), -ETIMEDOUT);
	assert_int_equal(fake.calls, 2);
}

static void a_vcpu_that_does_not_come_is_a_timeout(void **state)
{
	struct sym_call_result result;

	fake.run_status = -ETIMEDOUT;
	assert_int_equal(ping(0, &result), -ETIMEDOUT);
	assert_int_equal(fake.calls, 0);
}

static int message(size_t size)
{
	uint8_t buffer[64];

	assert_true(size <= sizeof(buffer));
	return guest_call_message(&fake.guest, 0, &fake.limit, SYM_CALL_MEMINFO, buffer, size,
				  &err);
}

static void a_message_has_exactly_its_size(void **state)
{
	static const uint8_t bytes[64];
	static const size_t lengths[] = {0, 1, 31, 33, 63};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const struct fake_answer answers[] = {
			{.value = 32, .message = bytes, .length = lengths[i]},
		};

		fake_guest_answers(&fake, answers);
		assert_int_equal(message(32), -EPROTO);
	}
	{
		const struct fake_answer answers[] = {
			{.value = 32, .message = bytes, .length = 32},
		};

		fake_guest_answers(&fake, answers);
		assert_int_equal(message(32), 0);
	}
}

/* The engine would never give this: a call without a message has no length. */
static void a_length_without_a_message_is_refused(void **state)
{
	static const struct fake_answer answers[] = {{.value = 5, .length = 1}};
	struct sym_call_result result;

	fake_guest_answers(&fake, answers);
	assert_int_equal(ping(0, &result), -EPROTO);
}

static void the_errno_of_the_guest_is_passed_on(void **state)
{
	static const struct fake_answer refused[] = {{.value = -ENOSYS}};
	static const struct fake_answer nonsense[] = {{.value = INT64_MIN}};

	fake_guest_answers(&fake, refused);
	assert_int_equal(message(32), -ENOSYS);
	assert_non_null(strstr(err.text, "the guest refused the call: Function not implemented"));
	fake_guest_answers(&fake, nonsense);
	assert_int_equal(message(32), -EPROTO);
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_answer_comes_back),
		CASE(a_bad_moment_is_tried_again),
		CASE(errors_of_the_engine_have_words),
		CASE(an_unknown_vcpu_is_refused),
		CASE(a_held_guest_is_not_asked),
		CASE(the_end_of_the_guest_ends_the_tries),
		CASE(a_passed_limit_makes_no_call),
		CASE(a_cut_limit_ends_the_tries),
		CASE(a_vcpu_that_does_not_come_is_a_timeout),
		CASE(a_message_has_exactly_its_size),
		CASE(a_length_without_a_message_is_refused),
		CASE(the_errno_of_the_guest_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
