// SPDX-License-Identifier: BSD-2-Clause
/* Pause, reset and end of a VM (fake_machine.c). */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fake_machine.h"
#include "machine/lifecycle.h"

static void nothing(void *opaque)
{
	*(bool *)opaque = true;
}

/* The control socket and signals live on the main loop. */
static void assert_main_loop_answers(void)
{
	bool ran = false;

	assert_int_equal(event_loop_call(fake.vm.main_loop, nothing, &ran), 0);
	assert_true(ran);
}

static void a_paused_vm_runs_nothing_for_anybody(void **state)
{
	struct error err;
	unsigned entries;

	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], fake_work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.worked), 1);
	assert_int_equal(vm_check_runs(&fake.vm, &err), 0);
	assert_int_equal(vm_pause(&fake.vm), 0);
	entries = atomic_load(&fake.entries);
	assert_int_equal(vm_pause(&fake.vm), -EALREADY);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], fake_work, NULL, 10000), -EBUSY);
	assert_int_equal(atomic_load(&fake.worked), 1);
	assert_int_equal(vm_check_runs(&fake.vm, &err), -EBUSY);
	assert_non_null(strstr(err.text, "is paused"));
	assert_int_equal(atomic_load(&fake.entries), entries);
	assert_int_equal(vm_resume(&fake.vm), 0);
	assert_int_equal(vm_resume(&fake.vm), -EALREADY);
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], fake_work, NULL, 10000), 0);
	assert_true(guest_runs());
}

static void each_vcpu_is_told_that_it_stood_still(void **state)
{
	unsigned before;

	assert_true(guest_runs());
	before = atomic_load(&fake.clock_told);
	assert_int_equal(vm_pause(&fake.vm), 0);
	assert_int_equal(vm_resume(&fake.vm), 0);
	assert_true(guest_runs());
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], fake_work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.clock_told), before + VCPUS);
}

/* A stopped process: KVM_RUN returns without a request of this process. */
static void a_stop_from_outside_is_told_too(void **state)
{
	unsigned before;

	assert_true(guest_runs());
	before = atomic_load(&fake.clock_told);
	atomic_store(&fake.stopped, true);
	for (int i = 0; i < 20000 && atomic_load(&fake.clock_told) == before; i++)
		usleep(500);
	assert_int_equal(atomic_load(&fake.clock_told), before + 1);
	/* A kick is not a stop: frequent calls must not silence the guest's watchdogs. */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], fake_work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.clock_told), before + 1);
}

static void a_pause_gives_up_on_a_vcpu_that_a_disk_holds(void **state)
{
	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	assert_int_equal(vm_pause(&fake.vm), -ETIMEDOUT);
	/* As if nothing had happened: the other vCPU continues, and so does this one later. */
	assert_true(guest_runs());
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], fake_work, NULL, 50), -ETIMEDOUT);
	atomic_store(&fake.disk_hangs, false);
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], fake_work, NULL, 10000), 0);
	assert_int_equal(vm_pause(&fake.vm), 0);
}

static void the_main_loop_works_while_a_reset_waits_for_a_vcpu(void **state)
{
	struct error err;

	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	vm_request_reset(&fake.vm);
	usleep(20000);
	assert_main_loop_answers();
	assert_int_equal(atomic_load(&fake.boots), 0);
	assert_int_equal(vm_check_runs(&fake.vm, &err), -EBUSY);
	assert_non_null(strstr(err.text, "is being reset"));
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], fake_work, NULL, 10000), -EBUSY);
	atomic_store(&fake.disk_hangs, false);
	await_boots(1);
	assert_true(guest_runs());
	assert_int_equal(atomic_load(&fake.worked), 0);
}

static void the_main_loop_works_while_a_reset_waits_for_a_device(void **state)
{
	atomic_store(&fake.reset_hangs, true);
	guest_writes(RESET_PORT);
	await(&fake.in_reset);
	assert_main_loop_answers();
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], fake_work, NULL, 10000), -EBUSY);
	assert_int_equal(atomic_load(&fake.worked), 0);
	/* Pausing and resuming meanwhile does not let a vCPU slip through. */
	assert_int_equal(vm_pause(&fake.vm), 0);
	assert_int_equal(vm_resume(&fake.vm), 0);
	usleep(20000);
	assert_int_equal(fake.vm.parked, VCPUS);
	atomic_store(&fake.reset_hangs, false);
	await_boots(1);
	assert_true(guest_runs());
}

static void the_end_comes_while_a_reset_waits(void **state)
{
	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	vm_request_reset(&fake.vm);
	vm_end(&fake.vm, VM_END_STOPPED);
	/* Does not wait for the vCPU in the disk. */
	lifecycle_stop(&fake.vm);
	assert_int_equal(atomic_load(&fake.boots), 0);
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], fake_work, NULL, 10000), -ESHUTDOWN);
}

struct slow_work {
	_Atomic bool runs;
};

static void work_slowly(struct vcpu *vcpu, void *opaque)
{
	struct slow_work *slow = opaque;

	atomic_store(&slow->runs, true);
	usleep(300);
	atomic_store(&slow->runs, false);
}

/* Work uses its caller's memory. If the caller's time is over just as it begins, the caller waits.
 */
static void work_that_has_begun_is_waited_for(void **state)
{
	for (unsigned i = 0; i < 3000; i++) {
		struct slow_work slow = {.runs = false};
		int status = vcpu_run_on(fake.vm.vcpus[0], work_slowly, &slow, i % 2);

		assert_false(atomic_load(&slow.runs));
		assert_true(status == 0 || status == -ETIMEDOUT);
	}
}

static void *keep_posting(void *opaque)
{
	_Atomic bool *stop = opaque;

	while (!atomic_load(stop))
		for (unsigned i = 0; i < VCPUS; i++)
			vcpu_run_on(fake.vm.vcpus[i], fake_work, NULL, 10000);
	return NULL;
}

static void posted_work_and_resets_exclude_each_other(void **state)
{
	_Atomic bool stop = false;
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_posting, &stop), 0);
	for (unsigned i = 0; i < 30; i++) {
		guest_writes(RESET_PORT);
		await_boots(i + 1);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&fake.worked) > 0);
	assert_int_equal(atomic_load(&fake.worked_in_reset), 0);
}

static void *keep_pausing(void *opaque)
{
	_Atomic bool *stop = opaque;

	while (!atomic_load(stop)) {
		vm_pause(&fake.vm);
		vm_resume(&fake.vm);
	}
	return NULL;
}

static void pauses_of_several_clients_leave_no_vcpu_behind(void **state)
{
	_Atomic bool stop = false;
	pthread_t threads[3];

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, keep_pausing, &stop), 0);
	for (unsigned i = 0; i < 3; i++) {
		guest_writes(RESET_PORT);
		await_boots(i + 1);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	vm_resume(&fake.vm);
	for (unsigned i = 0; i < 200 && atomic_load(&fake.vm.reset_requested); i++)
		usleep(10000);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], fake_work, NULL, 10000), 0);
}

/*
 * vm_resume() may clear the request PAUSE just as another vCPU requests a reset, after it saw that
 * none was requested. The vCPU must not run its guest on that.
 */
static void a_vcpu_that_lost_its_request_does_not_run_in_a_reset(void **state)
{
	struct vm *vm = &fake.vm;
	unsigned entries;

	assert_int_equal(vm_pause(vm), 0);
	entries = atomic_load(&fake.entries);
	atomic_store(&vm->reset_requested, true);
	pthread_mutex_lock(&vm->state_lock);
	for (unsigned i = 0; i < VCPUS; i++)
		atomic_fetch_and(&vm->vcpus[i]->requests, ~VCPU_REQUEST_PAUSE);
	pthread_cond_broadcast(&vm->state_changed);
	pthread_mutex_unlock(&vm->state_lock);
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(vm->vcpus[i], fake_work, NULL, 10000), -EBUSY);
	assert_int_equal(vm->parked, VCPUS);
	assert_int_equal(atomic_load(&fake.entries), entries);
	atomic_store(&vm->reset_requested, false);
	assert_int_equal(vm_resume(vm), 0);
	assert_true(guest_runs());
}

/* A user whose processes have all the pending signals that the host allows. */
static void kicks_need_no_queue(void **state)
{
	struct rlimit none = {0};

	/* Their threads have their timers by then: those do need a place in the queue. */
	for (unsigned i = 0; i < VCPUS; i++)
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[i], fake_work, NULL, 10000), 0);
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &none), 0);
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(vm_pause(&fake.vm), 0);
		assert_int_equal(vm_resume(&fake.vm), 0);
		assert_int_equal(vcpu_run_on(fake.vm.vcpus[1], fake_work, NULL, 10000), 0);
	}
	none.rlim_cur = none.rlim_max;
	setrlimit(RLIMIT_SIGPENDING, &none);
}

#define CASE(function) \
	cmocka_unit_test_setup_teardown(function, fake_machine_setup, fake_machine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_paused_vm_runs_nothing_for_anybody),
		CASE(each_vcpu_is_told_that_it_stood_still),
		CASE(a_stop_from_outside_is_told_too),
		CASE(a_pause_gives_up_on_a_vcpu_that_a_disk_holds),
		CASE(the_main_loop_works_while_a_reset_waits_for_a_vcpu),
		CASE(the_main_loop_works_while_a_reset_waits_for_a_device),
		CASE(the_end_comes_while_a_reset_waits),
		CASE(posted_work_and_resets_exclude_each_other),
		CASE(work_that_has_begun_is_waited_for),
		CASE(pauses_of_several_clients_leave_no_vcpu_behind),
		CASE(a_vcpu_that_lost_its_request_does_not_run_in_a_reset),
		CASE(kicks_need_no_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
