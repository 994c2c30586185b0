// SPDX-License-Identifier: BSD-2-Clause
/* examples/guest-handle with the shared library: a thread plays a vCPU, fake_guest.c the engine. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libguestview/meminfo.h>

#include "examples/guest-handle/guest-handle.h"
#include "fake_guest.h"

static struct fake_guest fake;
static struct handle handle;
static struct guest_error err;
static _Atomic unsigned kicks;
static _Atomic bool stop;

static void kick(unsigned vcpu)
{
	kicks++;
}

static int setup(void **state)
{
	static const struct sym_meminfo message = {.mem_total = 512 << 20, .mem_free = 1 << 20};
	static const struct fake_answer answers[] = {
		{.value = sizeof(message), .message = &message, .length = sizeof(message)}};
	struct sym_vcpu *engine = (struct sym_vcpu *)&fake;

	fake_guest_init(&fake);
	fake_guest_answers(&fake, answers);
	handle_init(&handle, &engine, 1, kick);
	kicks = 0;
	stop = false;
	return 0;
}

static void *vcpu_thread(void *opaque)
{
	while (!stop) {
		handle_serve(&handle, 0); /* and KVM_RUN would be here */
		sched_yield();
	}
	return NULL;
}

static void a_vcpus_thread_asks_the_guest(void **state)
{
	struct guest guest = handle_guest(&handle);
	struct guest_meminfo memory;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, vcpu_thread, NULL), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(guest_meminfo(&guest, 0, &fake.limit, &memory, &err), 0);
	assert_int_equal(memory.mem_total, 512 << 20);
	assert_int_equal(fake.calls, 100);
	assert_int_equal(kicks, 100);
	stop = true;
	pthread_join(thread, NULL);
}

static void set(void *argument)
{
	*(bool *)argument = true;
}

static void a_function_that_did_not_begin_in_time_never_runs(void **state)
{
	struct guest guest = handle_guest(&handle);
	bool ran = false;

	assert_int_equal(guest.ops->run_on(guest.opaque, 0, set, &ran, 1), -ETIMEDOUT);
	handle_serve(&handle, 0);
	assert_false(ran);
}

static void a_guest_that_ended_is_not_asked(void **state)
{
	struct guest guest = handle_guest(&handle);
	struct guest_meminfo memory;
	bool ran = false;

	handle_end(&handle);
	assert_int_equal(guest_meminfo(&guest, 0, &fake.limit, &memory, &err), -ESHUTDOWN);
	assert_string_equal(err.text, "the guest has ended");
	assert_int_equal(guest.ops->run_on(guest.opaque, 0, set, &ran, 1000), -ESHUTDOWN);
	assert_false(ran);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_vcpus_thread_asks_the_guest, setup),
		cmocka_unit_test_setup(a_function_that_did_not_begin_in_time_never_runs, setup),
		cmocka_unit_test_setup(a_guest_that_ended_is_not_asked, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
