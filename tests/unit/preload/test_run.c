// SPDX-License-Identifier: BSD-2-Clause
/* KVM_RUN of the VMM, with a KVM that the test plays: kicks, work, and exits inside of work. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "preload/handle.h"
#include "preload/nested.h"
#include "preload/raw_ioctl.h"
#include "preload/vm.h"
#include "services/who.h"
#include "util/clock.h"

static struct kvm_run *run;
static unsigned runs;
static struct kvm_nested_state *vcpu_nested; /* KVM's answer, and its flags */
static uint16_t nested_flags;

/* KVM: an exit to port 0x10 at once, unless a kick is due. */
static long play(unsigned long request)
{
	if (request == KVM_GET_NESTED_STATE)
		vcpu_nested->flags = nested_flags;
	if (request != KVM_RUN)
		return 0;
	runs++;
	if (run->immediate_exit)
		return -EINTR;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = KVM_EXIT_IO_OUT;
	run->io.port = 0x10;
	run->io.size = 1;
	run->io.count = 1;
	run->io.data_offset = 4096;
	return 0;
}

long preload_raw_ioctl(int fd, unsigned long request, void *argument)
{
	return play(request);
}

int ioctl(int fd, unsigned long request, ...)
{
	return (int)play(request);
}

static void *no_ram(void *opaque, uint64_t gpa, uint64_t len)
{
	return NULL;
}

static const struct sym_ops ops = {.translate = no_ram, .service_exit = preload_service_exit};

static int create(void **state)
{
	const struct sym_vm_config config = {.size = sizeof(config), .vm_fd = -1, .ops = &ops};
	struct preload_vm *vm = calloc(1, sizeof(*vm));
	struct preload_vcpu *vcpu = calloc(1, sizeof(*vcpu));

	run = calloc(2, 4096);
	vm->engine = sym_vm_create(&config);
	vm->kick_signal = preload_kick_signal_choose();
	pthread_mutex_init(&vm->lock, NULL);
	clock_condition_init(&vm->changed);
	vm->guest = preload_guest(vm);
	vcpu->vm = vm;
	vcpu->run = run;
	vcpu->engine = sym_vcpu_create(vm->engine, -1, run, 0, vcpu);
	vm->vcpus[0] = vcpu;
	vm->vcpu_count = 1;
	runs = 0;
	*state = vcpu;
	return 0;
}

static int destroy(void **state)
{
	struct preload_vcpu *vcpu = *state;
	struct preload_vm *vm = vcpu->vm;

	if (vcpu->has_timer)
		timer_delete(vcpu->timer);
	sym_vcpu_destroy(vcpu->engine);
	sym_vm_destroy(vm->engine);
	free(run);
	free(vcpu);
	free(vm);
	return 0;
}

static void exits_are_the_vmms(void **state)
{
	struct preload_vcpu *vcpu = *state;

	assert_int_equal(preload_vcpu_run(vcpu), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(vcpu->exits, 1);
}

static void kick_of_the_vmm_reaches_it(void **state)
{
	struct preload_vcpu *vcpu = *state;

	run->immediate_exit = 1;
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_int_equal(run->immediate_exit, 1); /* it is the VMM's to clear */
}

static void signal_of_ours_ends_the_next_run(void **state)
{
	struct preload_vcpu *vcpu = *state;

	preload_vcpu_run(vcpu);
	preload_vcpu_kick(vcpu);
	assert_int_not_equal(run->immediate_exit, 0);
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_int_equal(run->immediate_exit, 0);
	assert_int_equal(preload_vcpu_run(vcpu), 0);
}

struct nested {
	struct preload_vcpu *vcpu;
	int results[2];
	int count;
};

/* As a call whose handler accesses a device twice. */
static void ask_twice(void *argument)
{
	struct nested *nested = argument;

	for (int i = 0; i < 2; i++) {
		nested->vcpu->run->io.port = (uint16_t)(0x20 + i);
		nested->results[nested->count++] = preload_service_exit(nested->vcpu, run);
	}
}

static void switch_interrupts_off(void *argument)
{
	run->if_flag = 0;
	run->cr8 = 15;
}

static void put_work(struct preload_vcpu *vcpu, struct preload_work *work)
{
	atomic_store(&vcpu->work, work);
}

static void work_runs_although_the_vmm_wiped_the_kick(void **state)
{
	struct preload_vcpu *vcpu = *state;
	struct nested nested = {.vcpu = vcpu};
	struct preload_work work = {.function = ask_twice, .argument = &nested};

	preload_vcpu_run(vcpu);
	put_work(vcpu, &work);
	preload_vcpu_kick(vcpu);
	run->immediate_exit = 0; /* by the VMM */
	assert_int_equal(preload_vcpu_run(vcpu), 0);
	assert_true(work.begun);
	preload_vcpu_reset(vcpu);
}

static void exits_inside_of_work_are_served_by_the_vmm(void **state)
{
	struct preload_vcpu *vcpu = *state;
	struct nested nested = {.vcpu = vcpu};
	struct preload_work work = {.function = ask_twice, .argument = &nested};
	unsigned before;

	put_work(vcpu, &work);
	assert_int_equal(preload_vcpu_run(vcpu), 0);
	assert_int_equal(run->io.port, 0x20);
	before = runs;
	assert_int_equal(preload_vcpu_run(vcpu), 0);
	assert_int_equal(run->io.port, 0x21);
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_int_equal(runs, before); /* no KVM_RUN in between: the work had the vCPU */
	assert_true(work.done);
	assert_int_equal(nested.results[0], 0);
	assert_int_equal(nested.results[1], 0);
	assert_null(vcpu->work);
	assert_int_equal(preload_vcpu_run(vcpu), 0);
	assert_int_equal(run->io.port, 0x10);
}

static void reset_cancels_work_that_is_parked(void **state)
{
	struct preload_vcpu *vcpu = *state;
	struct nested nested = {.vcpu = vcpu};
	struct preload_work work = {.function = ask_twice, .argument = &nested};

	put_work(vcpu, &work);
	assert_int_equal(preload_vcpu_run(vcpu), 0);
	preload_vcpu_reset(vcpu);
	assert_true(work.done);
	assert_int_equal(nested.count, 2);
	assert_int_equal(nested.results[0], -ECANCELED);
	assert_int_equal(nested.results[1], -ECANCELED);
	assert_false(vcpu->coroutine.active);
}

static void work_leaves_the_head_of_kvm_run(void **state)
{
	struct preload_vcpu *vcpu = *state;
	struct preload_work work = {.function = switch_interrupts_off, .argument = vcpu};

	run->if_flag = 1;
	run->cr8 = 3;
	put_work(vcpu, &work);
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_int_equal(run->if_flag, 1);
	assert_int_equal(run->cr8, 3);
}

static void nothing(void *argument)
{
}

static void no_work_begins_in_a_nested_guest(void **state)
{
	struct preload_vcpu *vcpu = *state;
	struct preload_work work = {.function = nothing};

	vcpu->nests = true;
	vcpu->vm->nested_size = 4096;
	vcpu->nested = vcpu_nested = calloc(1, 4096);
	nested_flags = KVM_STATE_NESTED_GUEST_MODE;
	put_work(vcpu, &work);
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_false(work.begun);
	nested_flags = 0;
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_true(work.done);
	/* Not known: no call. */
	vcpu->vm->nested_size = 0;
	vcpu->nested = NULL;
	work.begun = work.done = false;
	put_work(vcpu, &work);
	assert_int_equal(preload_vcpu_run(vcpu), -EINTR);
	assert_false(work.begun);
	free(vcpu_nested);
}

static void cpuid_shows_whether_a_guest_can_nest(void **state)
{
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + 2 * sizeof(list->entries[0]));

	list->nent = 2;
	list->entries[0].function = 1;
	list->entries[1].function = 0x80000001;
	assert_false(nested_is_offered(list));
	list->entries[0].ecx = 1u << 5;
	assert_true(nested_is_offered(list));
	list->entries[0].ecx = 1u << 2; /* SVM's bit, but of another leaf */
	assert_false(nested_is_offered(list));
	list->entries[1].ecx = 1u << 2;
	assert_true(nested_is_offered(list));
	free(list);
}

static void *watch_port(void *opaque)
{
	struct preload_vcpu *vcpu = opaque;
	struct who_watch watch = {
		.exits = {.reason = KVM_EXIT_IO, .first = 0x10, .last = 0x10},
		.count = 1,
		.end_ns = clock_now_ns() + 60 * NS_PER_SECOND,
		.ring = guest_who_ring_create(1),
	};
	struct wait_limit limit;
	struct error err;

	wait_limit_init(&limit, 300);
	assert_int_equal(who_watch_wait((struct vm *)vcpu->vm, &watch, &limit, &err), 0);
	assert_int_equal(guest_who_ring_count(watch.ring), 0);
	guest_who_ring_destroy(watch.ring);
	return (void *)(uintptr_t)watch.missed;
}

/* The guest has not registered: the exit stays the VMM's, and the client learns that it was missed.
 */
static void watched_exit_stays_the_vmms(void **state)
{
	struct preload_vcpu *vcpu = *state;
	pthread_t thread;
	void *missed;

	assert_int_equal(pthread_create(&thread, NULL, watch_port, vcpu), 0);
	while (!atomic_load(&vcpu->vm->watch))
		sched_yield();
	assert_int_equal(preload_vcpu_run(vcpu), 0);
	assert_int_equal(run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(run->io.port, 0x10);
	pthread_join(thread, &missed);
	assert_int_equal((uintptr_t)missed, 1);
	assert_null(vcpu->vm->watch);
}

static void vcpu_that_does_not_come_is_not_waited_for(void **state)
{
	struct preload_vcpu *vcpu = *state;
	const struct guest guest = preload_guest(vcpu->vm);

	assert_int_equal(guest.ops->run_on(guest.opaque, 0, nothing, NULL, 60), -ETIMEDOUT);
	assert_null(vcpu->work);
}

static void *ask(void *opaque)
{
	struct preload_vcpu *vcpu = opaque;
	const struct guest guest = preload_guest(vcpu->vm);

	return (void *)(intptr_t)guest.ops->run_on(guest.opaque, 0, nothing, NULL, 60000);
}

static void another_thread_borrows_the_vcpu(void **state)
{
	struct preload_vcpu *vcpu = *state;
	pthread_t thread;
	void *result;

	assert_int_equal(pthread_create(&thread, NULL, ask, vcpu), 0);
	while (!vcpu->calls)
		preload_vcpu_run(vcpu);
	pthread_join(thread, &result);
	assert_int_equal((intptr_t)result, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exits_are_the_vmms, create, destroy),
		cmocka_unit_test_setup_teardown(kick_of_the_vmm_reaches_it, create, destroy),
		cmocka_unit_test_setup_teardown(signal_of_ours_ends_the_next_run, create, destroy),
		cmocka_unit_test_setup_teardown(work_runs_although_the_vmm_wiped_the_kick, create,
						destroy),
		cmocka_unit_test_setup_teardown(exits_inside_of_work_are_served_by_the_vmm, create,
						destroy),
		cmocka_unit_test_setup_teardown(reset_cancels_work_that_is_parked, create, destroy),
		cmocka_unit_test_setup_teardown(work_leaves_the_head_of_kvm_run, create, destroy),
		cmocka_unit_test_setup_teardown(no_work_begins_in_a_nested_guest, create, destroy),
		cmocka_unit_test(cpuid_shows_whether_a_guest_can_nest),
		cmocka_unit_test_setup_teardown(watched_exit_stays_the_vmms, create, destroy),
		cmocka_unit_test_setup_teardown(vcpu_that_does_not_come_is_not_waited_for, create,
						destroy),
		cmocka_unit_test_setup_teardown(another_thread_borrows_the_vcpu, create, destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
