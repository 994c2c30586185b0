// SPDX-License-Identifier: BSD-2-Clause
/* Observers of exits: the exits that they see, and that a removed one is not in use. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/exit_observer.h"
#include "machine/vcpu.h"

static struct exit_observers observers;
static struct vcpu vcpu;

static int setup(void **state)
{
	memset(&observers, 0, sizeof(observers));
	exit_observers_init(&observers);
	return 0;
}

static int teardown(void **state)
{
	exit_observers_destroy(&observers);
	return 0;
}

/* As vcpu_service_exit() does. */
static void exit_happens(struct kvm_run *run)
{
	if (exit_is_observed(&observers, run->exit_reason))
		exit_observers_show(&observers, &vcpu, run);
}

static void port_exit(unsigned port)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_IO};

	run.io.port = (uint16_t)port;
	exit_happens(&run);
}

static void count(void *opaque, struct vcpu *of, struct kvm_run *run)
{
	assert_ptr_equal(of, &vcpu);
	++*(unsigned *)opaque;
}

static void an_observer_sees_what_it_asked_for(void **state)
{
	unsigned ports = 0, addresses = 0, halts = 0;
	struct exit_observer all[] = {
		{{KVM_EXIT_IO, 0x3f8, 0x3ff}, count, &ports, 0},
		{{KVM_EXIT_MMIO, 0x100000000, 0x100000fff}, count, &addresses, 0},
		{{KVM_EXIT_HLT, 0, 0}, count, &halts, 0},
	};
	struct kvm_run run = {.exit_reason = KVM_EXIT_MMIO};

	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(exit_observer_add(&observers, &all[i]), 0);
	port_exit(0x3f7);
	assert_int_equal(ports, 0);
	port_exit(0x3f8);
	port_exit(0x3ff);
	port_exit(0x400);
	assert_int_equal(ports, 2);
	run.mmio.phys_addr = 0x100001000;
	exit_happens(&run);
	assert_int_equal(addresses, 0);
	run.mmio.phys_addr = 0x100000fff;
	exit_happens(&run);
	assert_int_equal(addresses, 1);
	run.exit_reason = KVM_EXIT_HLT;
	exit_happens(&run);
	assert_int_equal(halts, 1);
	for (unsigned i = 0; i < 3; i++)
		exit_observer_remove(&observers, &all[i]);
	port_exit(0x3f8);
	assert_int_equal(ports, 2);
}

static void an_observer_sees_a_range_of_one_kind(void **state)
{
	static const unsigned outside[] = {0, 0x3f7, 0x400, 0xffff};
	unsigned ports = 0, addresses = 0;
	struct exit_observer low = {{KVM_EXIT_IO, 0x3f8, 0x3ff}, count, &ports, 0};
	struct exit_observer all = {{KVM_EXIT_MMIO, 0, UINT64_MAX}, count, &addresses, 0};
	struct kvm_run run = {.exit_reason = KVM_EXIT_HLT};

	assert_int_equal(exit_observer_add(&observers, &low), 0);
	assert_int_equal(exit_observer_add(&observers, &all), 0);
	exit_happens(&run);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		port_exit(outside[i]);
	assert_int_equal(ports, 0);
	port_exit(0x3f8);
	assert_int_equal(ports, 1);
	assert_int_equal(addresses, 0);
	port_exit(0x3ff);
	assert_int_equal(ports, 2);
	run.exit_reason = KVM_EXIT_MMIO;
	run.mmio.phys_addr = 0x3f8;
	exit_happens(&run);
	assert_int_equal(ports, 2);
	run.mmio.phys_addr = UINT64_MAX;
	exit_happens(&run);
	assert_int_equal(addresses, 2);
	exit_observer_remove(&observers, &low);
	exit_observer_remove(&observers, &all);
}

static void an_exit_that_nobody_watches_is_known_by_one_load(void **state)
{
	unsigned seen = 0;
	struct exit_observer first = {{KVM_EXIT_IO, 0, 0xffff}, count, &seen, 0}, second = first;

	assert_false(exit_is_observed(&observers, KVM_EXIT_IO));
	assert_int_equal(exit_observer_add(&observers, &first), 0);
	assert_int_equal(exit_observer_add(&observers, &second), 0);
	assert_true(exit_is_observed(&observers, KVM_EXIT_IO));
	assert_false(exit_is_observed(&observers, KVM_EXIT_MMIO));
	/* No shift beyond the word: KVM may have reasons that we do not know. */
	assert_false(exit_is_observed(&observers, KVM_EXIT_IO + 64));
	port_exit(1);
	assert_int_equal(seen, 2);
	exit_observer_remove(&observers, &first);
	exit_observer_remove(&observers, &first);
	assert_true(exit_is_observed(&observers, KVM_EXIT_IO));
	exit_observer_remove(&observers, &second);
	assert_int_equal(atomic_load(&observers.reasons), 0);
}

static void what_cannot_be_observed_is_refused(void **state)
{
	struct exit_observer many[EXIT_OBSERVERS_MAX], more = {.match.reason = 64};
	struct exit_observer reversed = {.match = {KVM_EXIT_IO, 2, 1}};

	assert_int_equal(exit_observer_add(&observers, &more), -EINVAL);
	assert_int_equal(exit_observer_add(&observers, &reversed), -EINVAL);
	for (unsigned i = 0; i < EXIT_OBSERVERS_MAX; i++) {
		many[i] = (struct exit_observer){.match.reason = KVM_EXIT_HLT};
		assert_int_equal(exit_observer_add(&observers, &many[i]), 0);
	}
	more.match.reason = KVM_EXIT_HLT;
	assert_int_equal(exit_observer_add(&observers, &more), -ENOSPC);
	exit_observer_remove(&observers, &more);
	exit_observer_remove(&observers, &many[3]);
	assert_int_equal(exit_observer_add(&observers, &more), 0);
}

/* A call into the guest, whose handler causes an exit of its own. */
static void nest(void *opaque, struct vcpu *of, struct kvm_run *run)
{
	unsigned *depth = opaque;

	if (++*depth < 3)
		port_exit(run->io.port);
}

static void exits_may_nest(void **state)
{
	unsigned depth = 0;
	struct exit_observer observer = {{KVM_EXIT_IO, 0, 0xffff}, nest, &depth, 0};

	assert_int_equal(exit_observer_add(&observers, &observer), 0);
	port_exit(1);
	assert_int_equal(depth, 3);
	exit_observer_remove(&observers, &observer);
}

static struct {
	_Atomic bool inside, leave, removed;
} meeting;

static void stay(void *opaque, struct vcpu *of, struct kvm_run *run)
{
	atomic_store(&meeting.inside, true);
	while (!atomic_load(&meeting.leave))
		usleep(100);
	/* The observer's owner may free it as soon as it is removed. */
	assert_false(atomic_load(&meeting.removed));
}

static void *vcpu_thread(void *opaque)
{
	port_exit(1);
	return NULL;
}

static void *remove_thread(void *opaque)
{
	exit_observer_remove(&observers, opaque);
	atomic_store(&meeting.removed, true);
	return NULL;
}

static void a_removal_waits_for_the_vcpu_that_is_inside(void **state)
{
	struct exit_observer observer = {{KVM_EXIT_IO, 0, 0xffff}, stay, NULL, 0};
	pthread_t threads[2];

	memset(&meeting, 0, sizeof(meeting));
	assert_int_equal(exit_observer_add(&observers, &observer), 0);
	assert_int_equal(pthread_create(&threads[0], NULL, vcpu_thread, NULL), 0);
	while (!atomic_load(&meeting.inside))
		usleep(100);
	assert_int_equal(pthread_create(&threads[1], NULL, remove_thread, &observer), 0);
	while (exit_is_observed(&observers, KVM_EXIT_IO))
		usleep(100);
	/* It is off the list, but in use, and it sees no new exit. */
	port_exit(1);
	usleep(20000);
	assert_false(atomic_load(&meeting.removed));
	atomic_store(&meeting.leave, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(atomic_load(&meeting.removed));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_observer_sees_what_it_asked_for),
		CASE(an_exit_that_nobody_watches_is_known_by_one_load),
		CASE(what_cannot_be_observed_is_refused),
		CASE(an_observer_sees_a_range_of_one_kind),
		CASE(exits_may_nest),
		CASE(a_removal_waits_for_the_vcpu_that_is_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
