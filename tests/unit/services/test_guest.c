// SPDX-License-Identifier: BSD-2-Clause
/* A VM as libguestview sees it: whether it can be asked, and the words for a refusal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "services/guest.h"

static struct vm vm;
static struct guest guest;
static struct guest_error words;
static struct wait_limit limit;

static int answer(struct vcpu *vcpu, const struct sym_call_request *request,
		  struct sym_call_result *result)
{
	*result = (struct sym_call_result){.value = (int64_t)vcpu->id + 10};
	return 0;
}

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	memset(&words, 0, sizeof(words));
	fake_vm_init(&vm, answer);
	guest = guest_of_vm(&vm);
	wait_limit_init(&limit, 3600000);
	return 0;
}

static int call(unsigned vcpu, int64_t *value)
{
	const struct sym_call_request request = {.number = SYM_CALL_PING};
	const struct guest_limit until = guest_limit_of(&limit);
	struct sym_call_result result = {0};
	int status = guest_call(&guest, vcpu, &until, &request, &result, &words);

	*value = result.value;
	return status;
}

static void a_call_runs_on_its_vcpu(void **state)
{
	int64_t value;

	for (unsigned i = 0; i < FAKE_VCPUS; i++) {
		assert_int_equal(call(i, &value), 0);
		assert_int_equal(value, i + 10);
	}
	assert_int_equal(call(FAKE_VCPUS, &value), -ENXIO);
	assert_string_equal(words.text, "vCPU 2: this VM has vCPUs 0 to 1");
}

static void a_vm_that_does_not_run_says_why(void **state)
{
	int64_t value;

	atomic_store(&fake_vm.paused, true);
	assert_int_equal(call(0, &value), -EBUSY);
	assert_string_equal(words.text, "the VM is paused");
	atomic_store(&vm.end, VM_END_STOPPED);
	assert_int_equal(call(0, &value), -ESHUTDOWN);
	assert_string_equal(words.text, "the VM has ended");
	vm.symbiotic = NULL;
	assert_int_equal(call(0, &value), -EOPNOTSUPP);
	assert_non_null(strstr(words.text, "--symbiotic off"));
	assert_int_equal(fake_vm.calls, 0);
}

static void a_client_that_leaves_cuts_the_call(void **state)
{
	int64_t value;

	atomic_store(&limit.cut, true);
	assert_int_equal(call(0, &value), -ETIMEDOUT);
	assert_int_equal(fake_vm.calls, 0);
}

static void words_are_passed_on(void **state)
{
	struct error err;

	guest_error_set(&words, -EIO, "%%s of %d", 3);
	assert_int_equal(guest_error_pass(&err, -EIO, &words), -EIO);
	assert_string_equal(err.text, "%s of 3");
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_call_runs_on_its_vcpu),
		CASE(a_vm_that_does_not_run_says_why),
		CASE(a_client_that_leaves_cuts_the_call),
		CASE(words_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
