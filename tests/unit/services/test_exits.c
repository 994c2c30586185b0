// SPDX-License-Identifier: BSD-2-Clause
/* The service `exits`: clients wait on their threads, exits come on the test's. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_vm.h"
#include "machine/service.h"
#include "services/exits.h"

#define PORT	 0x5f0
#define DOORBELL 0xc004
#define GPA	 0xfed00000

#define ALL_KINDS  ((1u << EXIT_KINDS) - 1)
#define KIND(name) (1u << EXIT_KIND_##name)

struct client {
	struct exits_watch watch;
	struct wait_limit limit;
	struct error err;
	pthread_t thread;
	int status;
	_Atomic bool done;
};

static struct {
	struct vm vm;
	struct client clients[3];
	struct doorbell bell;
	_Atomic bool in_kvm; /* the doorbell */
	uint32_t mp_state;   /* of vCPU 1; vCPU 0 runs */
	int answer_status;
} fixture;

/* KVM, of which the service needs two things. The descriptor of a vCPU is its number + 10. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *pointer;

	va_start(arguments, request);
	pointer = va_arg(arguments, void *);
	va_end(arguments);
	if (request == KVM_IOEVENTFD)
		atomic_store(&fixture.in_kvm, !(((struct kvm_ioeventfd *)pointer)->flags &
						KVM_IOEVENTFD_FLAG_DEASSIGN));
	else if (request == KVM_GET_MP_STATE)
		((struct kvm_mp_state *)pointer)->mp_state = fd == 11 ? fixture.mp_state
								      : KVM_MP_STATE_RUNNABLE;
	else
		fail();
	return 0;
}

static void cause(unsigned vcpu, struct kvm_run run)
{
	if (exit_is_observed(&fixture.vm.exit_observers, run.exit_reason))
		exit_observers_show(&fixture.vm.exit_observers, fixture.vm.vcpus[vcpu], &run);
}

static struct kvm_run out(uint16_t port)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_IO};

	run.io.direction = KVM_EXIT_IO_OUT;
	run.io.port = port;
	run.io.size = 2;
	return run;
}

static struct kvm_run mmio_read(uint64_t address)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_MMIO};

	run.mmio.phys_addr = address;
	run.mmio.len = 4;
	return run;
}

/* As libsymcall does, the guest is not asked from within an answer. */
static int answer(struct vcpu *vcpu, const struct sym_call_request *request,
		  struct sym_call_result *result)
{
	static _Thread_local bool answering;
	const struct sym_whoami task = {.pid = 100 + vcpu->id, .comm = "cause"};

	if (answering)
		return -EBUSY;
	answering = true;
	cause(vcpu->id, out(PORT)); /* by the handler */
	answering = false;
	if (fixture.answer_status < 0)
		return fixture.answer_status;
	if (request->number == SYM_CALL_STACK)
		return fake_message(request, result, "inner\nouter\n", 12);
	return fake_message(request, result, &task, sizeof(task));
}

static int setup(void **state)
{
	struct error err;

	memset(&fixture, 0, sizeof(fixture));
	fake_vm_init(&fixture.vm, answer);
	for (unsigned i = 0; i < FAKE_VCPUS; i++)
		fixture.vm.vcpus[i]->fd = (int)(10 + i);
	exit_observers_init(&fixture.vm.exit_observers);
	doorbells_init(&fixture.vm.doorbells);
	log_init(&fixture.vm.log, STDERR_FILENO, LOG_LEVEL_ERROR);
	fixture.mp_state = KVM_MP_STATE_HALTED;
	fixture.bell = (struct doorbell){.port = DOORBELL, .device = "disk0", .queue = 1};
	doorbell_add(&fixture.vm, &fixture.bell);
	for (unsigned i = 0; i < 3; i++) {
		wait_limit_init(&fixture.clients[i].limit, 3600000);
		fixture.clients[i].watch.kinds = KIND(IO) | KIND(MMIO) | KIND(DOORBELL);
		fixture.clients[i].watch.percent = 100;
		fixture.clients[i].watch.end_ns = fixture.clients[i].limit.end_ns;
		fixture.clients[i].watch.tally = exit_tally_create();
		assert_non_null(fixture.clients[i].watch.tally);
	}
	return services_start(&fixture.vm, &err);
}

static int teardown(void **state)
{
	/* Watches leave nothing behind: no observer, and the doorbell is in KVM. */
	assert_int_equal(atomic_load(&fixture.vm.exit_observers.reasons), 0);
	assert_true(atomic_load(&fixture.in_kvm));
	services_stop(&fixture.vm);
	for (unsigned i = 0; i < 3; i++)
		exit_tally_destroy(fixture.clients[i].watch.tally);
	doorbell_remove(&fixture.vm, &fixture.bell);
	doorbells_destroy(&fixture.vm.doorbells);
	exit_observers_destroy(&fixture.vm.exit_observers);
	return 0;
}

static void *client_run(void *opaque)
{
	struct client *client = opaque;

	client->status = exits_watch_run(&fixture.vm, &client->watch, &client->limit, &client->err);
	atomic_store(&client->done, true);
	return NULL;
}

static unsigned catchers(void)
{
	unsigned count;

	pthread_mutex_lock(&fixture.vm.doorbells.lock);
	count = fixture.vm.doorbells.catchers;
	pthread_mutex_unlock(&fixture.vm.doorbells.lock);
	return count;
}

/* Starts the client, and waits until it watches. */
static struct client *client_start(unsigned index)
{
	struct client *client = &fixture.clients[index];

	wait_limit_init(&client->limit, 3600000);
	assert_int_equal(pthread_create(&client->thread, NULL, client_run, client), 0);
	while (client->watch.kinds & KIND(DOORBELL) &&
	       (catchers() <= index || atomic_load(&fixture.in_kvm)))
		usleep(100);
	return client;
}

/* The client goes away: the server cuts its limit. */
static void client_leave(struct client *client)
{
	atomic_store(&client->limit.cut, true);
	assert_int_equal(pthread_join(client->thread, NULL), 0);
	assert_int_equal(client->status, 0);
}

static uint64_t seen(const struct client *client, enum exit_kind kind)
{
	return atomic_load(&client->watch.totals[kind].seen);
}

static void expect_row(struct client *client, unsigned index, uint64_t count, enum exit_kind kind,
		       uint64_t address, unsigned pid)
{
	const struct exit_row *row = exit_tally_row(client->watch.tally, index);

	assert_int_equal(row->count, count);
	assert_int_equal(row->place.kind, kind);
	assert_int_equal(row->place.address, address);
	assert_int_equal(row->task.pid, pid);
}

static void exits_are_counted_by_their_cause(void **state)
{
	struct client *client = client_start(0);
	const struct exit_row *row;

	for (unsigned i = 0; i < 30; i++)
		cause(0, out(PORT));
	for (unsigned i = 0; i < 20; i++)
		cause(1, mmio_read(GPA));
	for (unsigned i = 0; i < 10; i++)
		cause(1, out(DOORBELL));
	client_leave(client);
	exit_tally_sort(client->watch.tally);
	assert_int_equal(exit_tally_count(client->watch.tally), 3);
	expect_row(client, 0, 30, EXIT_KIND_IO, PORT, 100);
	expect_row(client, 1, 20, EXIT_KIND_MMIO, GPA, 101);
	expect_row(client, 2, 10, EXIT_KIND_DOORBELL, DOORBELL, 101);
	row = exit_tally_row(client->watch.tally, 2);
	assert_string_equal(row->place.doorbell.device, "disk0");
	assert_int_equal(row->place.doorbell.queue, 1);
	assert_null(row->stack);
	/* The exits of the handlers are not the guest's. */
	assert_int_equal(seen(client, EXIT_KIND_IO), 30);
	assert_int_equal(seen(client, EXIT_KIND_DOORBELL), 10);
}

static void after_a_watch_nothing_is_asked_or_observed(void **state)
{
	unsigned calls;

	client_leave(client_start(0));
	calls = fake_vm.calls;
	cause(0, out(PORT));
	cause(0, out(DOORBELL));
	cause(0, mmio_read(GPA));
	assert_int_equal(fake_vm.calls, calls);
	assert_int_equal(calls, 0);
}

static void stacks_are_counted_if_they_are_wanted(void **state)
{
	struct client *client = &fixture.clients[0];

	client->watch.stack = true;
	client_start(0);
	cause(0, out(PORT));
	client_leave(client);
	assert_string_equal(exit_tally_row(client->watch.tally, 0)->stack, "inner\nouter\n");
}

static void a_sample_is_a_share_of_the_exits(void **state)
{
	struct client *client = &fixture.clients[0];
	uint64_t asked;

	client->watch.percent = 10;
	client_start(0);
	for (unsigned i = 0; i < 10000; i++)
		cause(i % 2, out(PORT));
	client_leave(client);
	asked = atomic_load(&client->watch.totals[EXIT_KIND_IO].asked);
	assert_int_equal(seen(client, EXIT_KIND_IO), 10000);
	assert_in_range(asked, 700, 1300);
	assert_int_equal(fake_vm.calls, asked);
}

static void exits_without_an_answer_are_counted_as_such(void **state)
{
	struct client *client = client_start(0);

	fixture.answer_status = -EAGAIN;
	for (unsigned i = 0; i < 5; i++)
		cause(0, out(PORT));
	client_leave(client);
	assert_int_equal(atomic_load(&client->watch.totals[EXIT_KIND_IO].failed), 5);
	assert_int_equal(exit_tally_count(client->watch.tally), 1);
	assert_false(exit_tally_row(client->watch.tally, 0)->known);
	assert_int_equal(exit_tally_row(client->watch.tally, 0)->count, 5);
}

/* A watch of ports alone does not see the doorbells that another one catches. */
static void watches_do_not_disturb_each_other(void **state)
{
	struct client *all = client_start(0), *ports = &fixture.clients[1];

	ports->watch.kinds = KIND(IO);
	client_start(1);
	while (seen(ports, EXIT_KIND_IO) == 0) { /* until the second one observes */
		cause(0, out(PORT));
		usleep(100);
	}
	cause(0, out(DOORBELL));
	client_leave(ports);
	assert_int_equal(seen(ports, EXIT_KIND_DOORBELL), 0);
	assert_int_equal(exit_tally_count(ports->watch.tally), 1);
	assert_false(atomic_load(&fixture.in_kvm));
	client_leave(all);
	assert_int_equal(seen(all, EXIT_KIND_DOORBELL), 1);
}

static void the_last_watch_gives_doorbells_back(void **state)
{
	struct client *first = client_start(0), *second = client_start(1), third = {0};

	third.watch.kinds = KIND(IO);
	wait_limit_init(&third.limit, 3600000);
	client_run(&third);
	assert_int_equal(third.status, -EBUSY);
	assert_string_equal(third.err.text, "exits: 2 watches of this VM are under way");
	client_leave(first);
	assert_false(atomic_load(&fixture.in_kvm));
	client_leave(second);
	assert_true(atomic_load(&fixture.in_kvm));
	/* There is room again. */
	client_leave(client_start(0));
}

static void samples_say_what_each_vcpu_does(void **state)
{
	struct client *client = &fixture.clients[0];
	bool running = false, halted = false;

	client->watch.kinds = ALL_KINDS;
	client_start(0);
	while (seen(client, EXIT_KIND_HLT) < 3)
		usleep(1000);
	client_leave(client);
	assert_true(seen(client, EXIT_KIND_INTERRUPT) >= 3);
	for (unsigned i = 0; i < exit_tally_count(client->watch.tally); i++) {
		const struct exit_row *row = exit_tally_row(client->watch.tally, i);

		running |= row->place.kind == EXIT_KIND_INTERRUPT && row->task.pid == 100;
		halted |= row->place.kind == EXIT_KIND_HLT && row->task.pid == 101;
	}
	assert_true(running);
	assert_true(halted);
}

/* A vCPU that was never started is neither. */
static void a_vcpu_that_is_off_is_not_sampled(void **state)
{
	struct client *client = &fixture.clients[0];

	fixture.mp_state = KVM_MP_STATE_UNINITIALIZED;
	client->watch.kinds = KIND(HLT) | KIND(INTERRUPT);
	client_start(0);
	while (seen(client, EXIT_KIND_INTERRUPT) < 3)
		usleep(1000);
	client_leave(client);
	assert_int_equal(exit_tally_count(client->watch.tally), 1);
	assert_int_equal(seen(client, EXIT_KIND_HLT), 0);
}

static void time_and_the_end_of_the_vm_end_a_watch(void **state)
{
	struct client *client = &fixture.clients[0];

	client->watch.end_ns = 1;
	client_run(client);
	assert_int_equal(client->status, 0);
	client->watch.end_ns = client->limit.end_ns;
	client_start(0);
	/* A pause does not end it. */
	atomic_store(&fake_vm.paused, true);
	usleep(300000);
	assert_false(atomic_load(&fixture.in_kvm));
	atomic_store(&fixture.vm.end, VM_END_STOPPED);
	pthread_join(client->thread, NULL);
	assert_int_equal(client->status, -ESHUTDOWN);
	client_run(client);
	assert_int_equal(client->status, -ESHUTDOWN);
}

static void another_client_can_end_a_watch(void **state)
{
	struct client *client = client_start(0);

	cause(0, out(PORT));
	exits_watches_end(&fixture.vm);
	assert_int_equal(pthread_join(client->thread, NULL), 0);
	assert_int_equal(client->status, 0);
	assert_int_equal(exit_tally_count(client->watch.tally), 1);
	/* It does not end those that come later. */
	client_start(0);
	cause(0, out(PORT));
	client_leave(client);
	assert_int_equal(exit_tally_row(client->watch.tally, 0)->count, 2);
}

static void a_vm_that_cannot_be_asked_says_so(void **state)
{
	struct client *client = &fixture.clients[0];

	atomic_store(&fake_vm.paused, true);
	client_run(client);
	assert_int_equal(client->status, -EBUSY);
	services_stop(&fixture.vm);
	client_run(client);
	assert_int_equal(client->status, -EOPNOTSUPP);
	assert_non_null(strstr(client->err.text, "--symbiotic off"));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(exits_are_counted_by_their_cause),
		CASE(after_a_watch_nothing_is_asked_or_observed),
		CASE(stacks_are_counted_if_they_are_wanted),
		CASE(a_sample_is_a_share_of_the_exits),
		CASE(exits_without_an_answer_are_counted_as_such),
		CASE(watches_do_not_disturb_each_other),
		CASE(the_last_watch_gives_doorbells_back),
		CASE(samples_say_what_each_vcpu_does),
		CASE(a_vcpu_that_is_off_is_not_sampled),
		CASE(time_and_the_end_of_the_vm_end_a_watch),
		CASE(another_client_can_end_a_watch),
		CASE(a_vm_that_cannot_be_asked_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
