// SPDX-License-Identifier: BSD-2-Clause
/* Doorbells: when KVM has them, and when it does not. KVM is a list of ports here. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "machine/vm.h"

#define PORTS  16u
#define ROUNDS 3000u

static struct {
	pthread_mutex_t lock;
	bool has[PORTS]; /* by port */
	int fds[PORTS];
	int refusal;	/* of the next assignments, an errno; 0: none */
	unsigned wrong; /* ports given twice, or taken back without having been given */
	unsigned requests;
} kvm;

static struct vm vm;

int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_ioeventfd *event;
	va_list arguments;
	int status = 0;
	bool take;

	va_start(arguments, request);
	event = va_arg(arguments, struct kvm_ioeventfd *);
	va_end(arguments);
	take = event->flags & KVM_IOEVENTFD_FLAG_DEASSIGN;
	pthread_mutex_lock(&kvm.lock);
	kvm.requests++;
	kvm.wrong += fd != 7 || request != KVM_IOEVENTFD || event->addr >= PORTS ||
		     event->len != 2 || !(event->flags & KVM_IOEVENTFD_FLAG_PIO) ||
		     kvm.has[event->addr] != take;
	if (!take && kvm.refusal) {
		errno = kvm.refusal;
		status = -1;
	} else {
		kvm.has[event->addr] = !take;
		kvm.fds[event->addr] = event->fd;
	}
	pthread_mutex_unlock(&kvm.lock);
	return status;
}

static struct doorbell bells[PORTS];

static int setup(void **state)
{
	memset(&kvm, 0, sizeof(kvm));
	pthread_mutex_init(&kvm.lock, NULL);
	memset(&vm, 0, sizeof(vm));
	vm.fd = 7;
	doorbells_init(&vm.doorbells);
	for (unsigned i = 0; i < PORTS; i++)
		bells[i] = (struct doorbell){
			.port = i, .fd = (int)(100 + i), .device = "disk0", .queue = i};
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < PORTS; i++)
		doorbell_remove(&vm, &bells[i]);
	for (unsigned i = 0; i < PORTS; i++)
		assert_false(kvm.has[i]);
	assert_int_equal(kvm.wrong, 0);
	doorbells_destroy(&vm.doorbells);
	return 0;
}

static void expect(bool first, bool second)
{
	assert_int_equal(kvm.has[1], first);
	assert_int_equal(kvm.has[2], second);
}

static void kvm_has_what_nobody_catches(void **state)
{
	struct doorbell_place place;

	assert_int_equal(doorbell_add(&vm, &bells[1]), 0);
	assert_int_equal(doorbell_add(&vm, &bells[2]), 0);
	assert_int_equal(kvm.fds[2], 102);
	expect(true, true);
	assert_false(doorbells_are_caught(&vm));
	doorbells_catch(&vm);
	assert_true(doorbells_are_caught(&vm));
	expect(false, false);
	assert_true(doorbell_find(&vm, 2, &place));
	assert_string_equal(place.device, "disk0");
	assert_int_equal(place.queue, 2);
	assert_false(doorbell_find(&vm, 3, &place));
	assert_int_equal(doorbells_release(&vm), 0);
	expect(true, true);
	assert_false(doorbells_are_caught(&vm));
}

/* A device that is reset or enabled meanwhile. */
static void changes_while_caught_take_effect_at_the_release(void **state)
{
	doorbell_add(&vm, &bells[1]);
	doorbells_catch(&vm);
	assert_int_equal(doorbell_add(&vm, &bells[2]), 0);
	doorbell_remove(&vm, &bells[1]);
	doorbell_remove(&vm, &bells[1]);
	expect(false, false);
	assert_int_equal(doorbells_release(&vm), 0);
	expect(false, true);
}

static void the_last_release_gives_them_back(void **state)
{
	doorbell_add(&vm, &bells[1]);
	doorbells_catch(&vm);
	doorbells_catch(&vm);
	assert_int_equal(doorbells_release(&vm), 0);
	expect(false, false);
	assert_int_equal(doorbells_release(&vm), 0);
	expect(true, false);
}

static void a_refusal_is_reported_and_leaves_the_rest_right(void **state)
{
	struct doorbell_place place;

	kvm.refusal = ENOSPC;
	assert_int_equal(doorbell_add(&vm, &bells[1]), -ENOSPC);
	/* The port still works, by exits. */
	assert_true(doorbell_find(&vm, 1, &place));
	kvm.refusal = 0;
	doorbell_add(&vm, &bells[2]);
	expect(false, true);
	doorbells_catch(&vm);
	kvm.refusal = EEXIST;
	assert_int_equal(doorbells_release(&vm), -EEXIST);
	expect(false, false);
	kvm.refusal = 0;
	doorbells_catch(&vm);
	assert_int_equal(doorbells_release(&vm), 0);
	expect(true, true);
}

static void nobody_who_catches_costs_no_request(void **state)
{
	struct doorbell_place place;

	doorbell_add(&vm, &bells[1]);
	doorbell_find(&vm, 1, &place);
	doorbells_are_caught(&vm);
	assert_int_equal(kvm.requests, 1);
}

static void mistake(void)
{
	pthread_mutex_lock(&kvm.lock);
	kvm.wrong++;
	pthread_mutex_unlock(&kvm.lock);
}

static void *catch_often(void *opaque)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		doorbells_catch(&vm);
		if (doorbells_release(&vm) < 0)
			mistake();
	}
	return NULL;
}

static void *move_often(void *opaque)
{
	unsigned first = *(unsigned *)opaque;
	struct doorbell_place place;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct doorbell *bell = &bells[first + i % 4];

		if (doorbell_add(&vm, bell) < 0 || !doorbell_find(&vm, bell->port, &place))
			mistake();
		doorbell_remove(&vm, bell);
	}
	doorbell_add(&vm, &bells[first]);
	return NULL;
}

/* Two watches that come and go, while two devices are reset. */
static void watches_and_resets_race(void **state)
{
	unsigned firsts[2] = {0, 8};
	pthread_t threads[4];

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, catch_often, NULL), 0);
		assert_int_equal(pthread_create(&threads[2 + i], NULL, move_often, &firsts[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(kvm.has[i], i == 0 || i == 8);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(kvm_has_what_nobody_catches),
		CASE(changes_while_caught_take_effect_at_the_release),
		CASE(the_last_release_gives_them_back),
		CASE(a_refusal_is_reported_and_leaves_the_rest_right),
		CASE(nobody_who_catches_costs_no_request),
		CASE(watches_and_resets_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
