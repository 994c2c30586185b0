// SPDX-License-Identifier: BSD-2-Clause
/* The service `who`: a client waits on its thread, exits come on the test's. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "machine/service.h"
#include "services/who.h"

#define PORT 0x505

static struct {
	struct vm vm;
	struct who_watch watch;
	struct wait_limit limit;
	struct error err;
	pthread_t client;
	int status; /* of the client's wait */
	_Atomic bool done;
	int answer_status; /* of the guest's next answers */
} fixture;

static void cause(unsigned vcpu, uint16_t port);

static int answer(struct vcpu *vcpu, const struct sym_call_request *request,
		  struct sym_call_result *result)
{
	const struct sym_whoami task = {.pid = 100 + vcpu->id};

	/* The handler itself may cause such an exit, on this thread. */
	cause(vcpu->id, PORT);
	if (fixture.answer_status < 0)
		return fixture.answer_status;
	if (request->number == SYM_CALL_STACK)
		return fake_message(request, result, "a\n", 2);
	return fake_message(request, result, &task, sizeof(task));
}

static void cause(unsigned vcpu, uint16_t port)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_IO};

	run.io.port = port;
	run.io.size = 1;
	if (exit_is_observed(&fixture.vm.exit_observers, run.exit_reason))
		exit_observers_show(&fixture.vm.exit_observers, fixture.vm.vcpus[vcpu], &run);
}

static int setup(void **state)
{
	memset(&fixture, 0, sizeof(fixture));
	fake_vm_init(&fixture.vm, answer);
	exit_observers_init(&fixture.vm.exit_observers);
	log_init(&fixture.vm.log, STDERR_FILENO, LOG_LEVEL_ERROR);
	wait_limit_init(&fixture.limit, 3600000);
	fixture.watch.exits = (struct exit_match){KVM_EXIT_IO, PORT, PORT};
	fixture.watch.end_ns = fixture.limit.end_ns;
	return services_start(&fixture.vm, &fixture.err);
}

static int teardown(void **state)
{
	/* A client that returns leaves nothing behind. */
	assert_false(exit_is_observed(&fixture.vm.exit_observers, KVM_EXIT_IO));
	services_stop(&fixture.vm);
	exit_observers_destroy(&fixture.vm.exit_observers);
	guest_who_ring_destroy(fixture.watch.ring);
	return 0;
}

static void *run_client(void *opaque)
{
	fixture.status = who_watch_wait(&fixture.vm, &fixture.watch, &fixture.limit, &fixture.err);
	atomic_store(&fixture.done, true);
	return NULL;
}

static void client_start(unsigned count)
{
	fixture.watch.count = count;
	fixture.watch.ring = guest_who_ring_create(count);
	assert_non_null(fixture.watch.ring);
	assert_int_equal(pthread_create(&fixture.client, NULL, run_client, NULL), 0);
}

static int client_join(void)
{
	assert_int_equal(pthread_join(fixture.client, NULL), 0);
	return fixture.status;
}

/* Causes exits until the service asked about one: the watch may not be armed yet. */
static void cause_and_ask(unsigned vcpu)
{
	unsigned calls = atomic_load(&fake_vm.calls);

	while (atomic_load(&fake_vm.calls) == calls) {
		cause(vcpu, PORT);
		usleep(100);
	}
}

static void take(unsigned pid)
{
	struct guest_who who;

	assert_true(guest_who_ring_take(fixture.watch.ring, &who));
	assert_int_equal(who.task.pid, pid);
	assert_int_equal(who.address, PORT);
}

static void a_client_gets_its_exits_in_order(void **state)
{
	unsigned calls;

	client_start(3);
	cause_and_ask(1);
	cause_and_ask(0);
	cause_and_ask(1);
	assert_int_equal(client_join(), 0);
	assert_int_equal(fixture.watch.missed, 0);
	assert_int_equal(guest_who_ring_count(fixture.watch.ring), 3);
	take(101);
	take(100);
	take(101);
	/* The watch is over, so the service does not ask the guest any more. */
	calls = fake_vm.calls;
	cause(0, PORT);
	assert_int_equal(fake_vm.calls, calls);
}

static void other_exits_are_not_asked_about(void **state)
{
	client_start(2);
	cause_and_ask(0);
	for (unsigned port = 0; port < 0x10000; port += 0xff)
		if (port != PORT)
			cause(0, (uint16_t)port);
	assert_int_equal(fake_vm.calls, 1);
	cause_and_ask(0);
	assert_int_equal(client_join(), 0);
}

static void a_stack_is_asked_for_if_wanted(void **state)
{
	struct guest_who who;

	fixture.watch.stack = true;
	client_start(1);
	cause_and_ask(0);
	assert_int_equal(client_join(), 0);
	assert_int_equal(fake_vm.calls, 2);
	assert_true(guest_who_ring_take(fixture.watch.ring, &who));
	assert_true(who.has_stack);
	assert_string_equal(guest_stack_frame(&who.stack, 0), "a");
}

static void exits_without_an_answer_are_missed(void **state)
{
	client_start(1);
	fixture.answer_status = -EAGAIN;
	cause_and_ask(0);
	cause_and_ask(0);
	/* The exit of a call's handler does not count as the guest's. */
	fixture.answer_status = -EBUSY;
	cause_and_ask(0);
	fixture.answer_status = 0;
	cause_and_ask(0);
	assert_int_equal(client_join(), 0);
	assert_int_equal(fixture.watch.missed, 2);
	take(100);
}

static void one_client_watches_at_a_time(void **state)
{
	struct who_watch second = {.count = 1, .end_ns = fixture.limit.end_ns};
	struct error err;

	client_start(2);
	cause_and_ask(0);
	assert_int_equal(who_watch_wait(&fixture.vm, &second, &fixture.limit, &err), -EBUSY);
	assert_string_equal(err.text, "who: another client watches exits of this VM");
	cause_and_ask(0);
	assert_int_equal(client_join(), 0);
}

static void a_pause_or_the_end_ends_the_wait(void **state)
{
	client_start(2);
	cause_and_ask(0);
	atomic_store(&fake_vm.paused, true);
	assert_int_equal(client_join(), -EBUSY);
	assert_string_equal(fixture.err.text, "the VM is paused");
	assert_int_equal(run_client(NULL) ? 0 : fixture.status, -EBUSY);
	atomic_store(&fixture.vm.end, VM_END_STOPPED);
	run_client(NULL);
	assert_int_equal(fixture.status, -ESHUTDOWN);
}

/* A guest that reboots is paused for a moment. */
static void a_reset_does_not_end_the_wait(void **state)
{
	atomic_store(&fixture.vm.reset_requested, true);
	client_start(2);
	cause_and_ask(0);
	atomic_store(&fake_vm.paused, true);
	cause_and_ask(0);
	assert_int_equal(client_join(), 0);
}

static void time_and_limit_end_the_wait(void **state)
{
	client_start(2);
	cause_and_ask(0);
	atomic_store(&fixture.limit.cut, true);
	assert_int_equal(client_join(), 0);
	assert_int_equal(guest_who_ring_count(fixture.watch.ring), 1);
	wait_limit_init(&fixture.limit, 3600000);
	fixture.watch.end_ns = 1;
	run_client(NULL);
	assert_int_equal(fixture.status, 0);
	assert_int_equal(guest_who_ring_count(fixture.watch.ring), 1);
}

static void a_vm_without_the_interface_says_so(void **state)
{
	services_stop(&fixture.vm);
	run_client(NULL);
	assert_int_equal(fixture.status, -EOPNOTSUPP);
	assert_non_null(strstr(fixture.err.text, "--symbiotic off"));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_client_gets_its_exits_in_order),	  CASE(other_exits_are_not_asked_about),
		CASE(a_stack_is_asked_for_if_wanted),	  CASE(exits_without_an_answer_are_missed),
		CASE(one_client_watches_at_a_time),	  CASE(a_pause_or_the_end_ends_the_wait),
		CASE(a_reset_does_not_end_the_wait),	  CASE(time_and_limit_end_the_wait),
		CASE(a_vm_without_the_interface_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
