// SPDX-License-Identifier: BSD-2-Clause
/* A VM that is held, for a dump or after a panic (fake_machine.c). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fake_machine.h"
#include "machine/lifecycle.h"

/* Whatever clients and the guest do meanwhile. */
static void a_held_vm_stands_still(void **state)
{
	struct vm *vm = &fake.vm;
	unsigned entries;

	assert_int_equal(vm_hold(vm, 10000), 0);
	assert_int_equal(vm_hold(vm, 10000), 0);
	entries = atomic_load(&fake.entries);
	assert_int_equal(vm_pause(vm), 0);
	assert_int_equal(vm_resume(vm), 0);
	assert_int_equal(vcpu_run_on(vm->vcpus[0], fake_work, NULL, 10000), -EBUSY);
	assert_int_equal(atomic_load(&fake.worked), 0);
	assert_int_equal(vcpu_inspect(vm->vcpus[0], fake_work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.worked), 1);
	vm_unhold(vm);
	usleep(20000);
	assert_int_equal(atomic_load(&fake.entries), entries);
	assert_int_equal(vm->parked, VCPUS);
	vm_unhold(vm);
	assert_true(guest_runs());
	/* A client's pause outlives the hold. */
	assert_int_equal(vm_hold(vm, 10000), 0);
	assert_int_equal(vm_pause(vm), 0);
	vm_unhold(vm);
	assert_int_equal(vcpu_inspect(vm->vcpus[1], fake_work, NULL, 10000), 0);
	assert_int_equal(vcpu_run_on(vm->vcpus[1], fake_work, NULL, 10000), -EBUSY);
	assert_int_equal(vm_resume(vm), 0);
	assert_true(guest_runs());
}

static void a_reset_waits_for_the_holder(void **state)
{
	struct vm *vm = &fake.vm;

	assert_int_equal(vm_hold(vm, 10000), 0);
	vm_request_reset(vm);
	usleep(150000); /* longer than between two resets */
	assert_int_equal(atomic_load(&fake.boots), 0);
	assert_false(atomic_load(&fake.in_reset));
	assert_int_equal(vm_hold(vm, 10000), -EAGAIN);
	vm_unhold(vm);
	await_boots(1);
	assert_true(guest_runs());
}

static void a_hold_gives_up_on_a_vcpu_that_a_disk_holds(void **state)
{
	atomic_store(&fake.disk_hangs, true);
	guest_writes(DISK_PORT);
	await(&fake.in_disk);
	assert_int_equal(vm_hold(&fake.vm, 50), -ETIMEDOUT);
	assert_true(guest_runs());
	atomic_store(&fake.disk_hangs, false);
	assert_int_equal(vm_hold(&fake.vm, 10000), 0);
	vm_unhold(&fake.vm);
}

static struct {
	_Atomic unsigned calls;
	unsigned entries; /* of the guest, when it was called */
	unsigned parked;
	int work_status;
} panic;

static void panic_handle(struct vm *vm, void *opaque)
{
	atomic_fetch_add(&panic.calls, 1);
	panic.parked = vm->parked;
	panic.entries = atomic_load(&fake.entries);
	panic.work_status = vcpu_run_on(vm->vcpus[1], fake_work, NULL, 10000);
}

static void panic_begin(enum vm_on_panic on_panic)
{
	struct vm *vm = &fake.vm;

	memset(&panic, 0, sizeof(panic));
	vm->panic.handler = panic_handle;
	vm->config.on_panic = on_panic;
	lifecycle_panic(vm);
	lifecycle_panic(vm);
	for (int i = 0;
	     i < 20000 && !atomic_load(&vm->panic.kept) && atomic_load(&vm->end) == VM_END_NONE;
	     i++)
		usleep(500);
	assert_int_equal(atomic_load(&panic.calls), 1);
	assert_int_equal(panic.parked, VCPUS);
	assert_int_equal(panic.work_status, 0);
	assert_int_equal(atomic_load(&fake.entries), panic.entries);
}

static void a_panic_ends_the_vm_after_its_handler(void **state)
{
	panic_begin(VM_ON_PANIC_REPORT);
	assert_int_equal(atomic_load(&fake.vm.end), VM_END_PANIC);
	assert_false(vm_panic_is_kept(&fake.vm));
	assert_int_equal(vcpu_run_on(fake.vm.vcpus[0], fake_work, NULL, 10000), -ESHUTDOWN);
}

static void a_vm_that_is_kept_answers_and_does_not_run(void **state)
{
	struct vm *vm = &fake.vm;
	struct error err;

	panic_begin(VM_ON_PANIC_PAUSE);
	assert_true(vm_panic_is_kept(vm));
	assert_int_equal(atomic_load(&vm->end), VM_END_NONE);
	assert_int_equal(vm_check_runs(vm, &err), -EBUSY);
	assert_non_null(strstr(err.text, "panicked"));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(vcpu_run_on(vm->vcpus[i % VCPUS], fake_work, NULL, 10000), 0);
	assert_int_equal(atomic_load(&fake.worked), 101);
	/* Neither a resume nor a reset brings it back. */
	vm_pause(vm);
	vm_resume(vm);
	vm_request_reset(vm);
	assert_int_equal(vm_hold(vm, 10000), -EAGAIN);
	usleep(150000);
	assert_int_equal(atomic_load(&fake.entries), panic.entries);
	assert_int_equal(atomic_load(&fake.boots), 0);
}

#define CASE(function) \
	cmocka_unit_test_setup_teardown(function, fake_machine_setup, fake_machine_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_held_vm_stands_still),
		CASE(a_reset_waits_for_the_holder),
		CASE(a_hold_gives_up_on_a_vcpu_that_a_disk_holds),
		CASE(a_panic_ends_the_vm_after_its_handler),
		CASE(a_vm_that_is_kept_answers_and_does_not_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
