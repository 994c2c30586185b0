// SPDX-License-Identifier: BSD-2-Clause
/* who: the exits that match, the record of one, and the ring. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"
#include "libguestview/who.h"

static struct fake_guest fake;
static struct guest_who who;
static const struct sym_whoami task = {.pid = 42, .comm = "dd"};

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&who, 0xff, sizeof(who));
	return 0;
}

static struct kvm_run io_exit(uint16_t port)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_IO};

	run.io.port = port;
	run.io.size = 2;
	run.io.direction = KVM_EXIT_IO_OUT;
	return run;
}

static struct kvm_run mmio_exit(uint64_t address)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_MMIO};

	run.mmio.phys_addr = address;
	run.mmio.len = 4;
	return run;
}

static void an_exit_has_a_record(void **state)
{
	const struct fake_answer answers[] = {{0, sizeof(task), &task, sizeof(task)}};
	struct kvm_run run = io_exit(0x505);

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_who_ask(&fake.guest, 1, &run, false, &who), 0);
	assert_int_equal(fake.vcpu, 1);
	assert_int_equal(fake.calls, 1);
	assert_int_equal(who.vcpu, 1);
	assert_false(who.mmio);
	assert_true(who.write);
	assert_int_equal(who.size, 2);
	assert_int_equal(who.address, 0x505);
	assert_int_equal(who.task.pid, 42);
	assert_string_equal(who.task.comm, "dd");
	assert_false(who.has_stack);
	run = mmio_exit(0xfee00000);
	assert_int_equal(guest_who_ask(&fake.guest, 0, &run, false, &who), 0);
	assert_true(who.mmio);
	assert_false(who.write);
	assert_int_equal(who.size, 4);
	assert_int_equal(who.address, 0xfee00000);
}

static void a_stack_comes_if_it_is_wanted(void **state)
{
	const struct fake_answer answers[] = {
		{0, sizeof(task), &task, sizeof(task)},
		{0, 4, "a\nb\n", 4},
	};
	struct kvm_run run = io_exit(0x505);

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_who_ask(&fake.guest, 0, &run, true, &who), 0);
	assert_true(who.has_stack);
	assert_int_equal(who.stack.count, 2);
	assert_string_equal(guest_stack_frame(&who.stack, 1), "b");
}

static void a_running_task_has_a_record_without_an_exit(void **state)
{
	const struct fake_answer answers[] = {
		{0, sizeof(task), &task, sizeof(task)},
		{0, 4, "a\nb\n", 4},
		{.status = -EAGAIN},
	};

	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_who_ask_now(&fake.guest, 1, true, &who), 0);
	assert_int_equal(fake.vcpu, 1);
	assert_int_equal(who.vcpu, 1);
	assert_int_equal(who.task.pid, 42);
	assert_int_equal(who.stack.count, 2);
	assert_true(who.address == 0 && who.size == 0 && !who.write && !who.mmio);
	assert_int_equal(guest_who_ask_now(&fake.guest, 0, false, &who), -EAGAIN);
}

static void a_stack_that_does_not_come_is_left_out(void **state)
{
	static const struct fake_answer bad[] = {
		{.value = -ENODATA},
		{.status = -ETIMEDOUT},
		{.value = 0, .length = SYM_MESSAGE_SIZE + 1},
	};
	struct kvm_run run = io_exit(0x505);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct fake_answer answers[] = {
			{0, sizeof(task), &task, sizeof(task)},
			bad[i],
		};

		fake.logged[0] = '\0';
		fake_guest_answers(&fake, answers);
		assert_int_equal(guest_who_ask(&fake.guest, 0, &run, true, &who), 0);
		assert_int_equal(who.task.pid, 42);
		assert_false(who.has_stack);
		assert_int_equal(who.stack.count, 0);
		assert_non_null(strstr(fake.logged, "who: vCPU 0: no stack: "));
	}
}

static void an_exit_without_a_task_has_no_record(void **state)
{
	const struct {
		struct fake_answer answer;
		int status;
		bool logged;
	} cases[] = {
		{{.status = -EAGAIN}, -EAGAIN, true},
		{{.status = -EBUSY}, -EBUSY, false},
		{{.value = -ENODATA}, -EPROTO, true},
		{{0, sizeof(task), &task, sizeof(task) - 1}, -EPROTO, true},
		{{0, sizeof(task) - 1, &task, sizeof(task)}, -EPROTO, true},
		{{0, INT64_MAX, &task, sizeof(task)}, -EPROTO, true},
	};
	struct kvm_run run = io_exit(0x505);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct fake_answer answers[] = {cases[i].answer};

		fake.logged[0] = '\0';
		fake_guest_answers(&fake, answers);
		assert_int_equal(guest_who_ask(&fake.guest, 0, &run, true, &who), cases[i].status);
		assert_int_equal(fake.calls, 1);
		assert_int_equal(fake.logged[0] != '\0', cases[i].logged);
	}
}

static void put(struct guest_who_ring *ring, uint64_t address, bool fits)
{
	who.address = address;
	assert_int_equal(guest_who_ring_put(ring, &who), fits);
}

static void take(struct guest_who_ring *ring, uint64_t address)
{
	assert_true(guest_who_ring_take(ring, &who));
	assert_int_equal(who.address, address);
}

static void a_ring_gives_the_oldest_first(void **state)
{
	struct guest_who_ring *ring = guest_who_ring_create(3);

	assert_false(guest_who_ring_take(ring, &who));
	for (uint64_t round = 0; round < 10; round++) {
		put(ring, round, true);
		put(ring, round + 100, true);
		assert_int_equal(guest_who_ring_count(ring), 2);
		take(ring, round);
		take(ring, round + 100);
	}
	assert_int_equal(guest_who_ring_count(ring), 0);
	assert_int_equal(guest_who_ring_lost(ring), 0);
	guest_who_ring_destroy(ring);
}

static void a_full_ring_counts_what_it_loses(void **state)
{
	struct guest_who_ring *ring = guest_who_ring_create(2);

	put(ring, 1, true);
	put(ring, 2, true);
	put(ring, 3, false);
	put(ring, 4, false);
	assert_int_equal(guest_who_ring_lost(ring), 2);
	take(ring, 1);
	put(ring, 5, true);
	take(ring, 2);
	take(ring, 5);
	assert_false(guest_who_ring_take(ring, &who));
	assert_int_equal(guest_who_ring_lost(ring), 2);
	guest_who_ring_destroy(ring);
}

static void a_ring_has_a_bound(void **state)
{
	assert_null(guest_who_ring_create(0));
	assert_null(guest_who_ring_create(GUEST_WHO_RING_MAX + 1));
	assert_null(guest_who_ring_create(UINT32_MAX));
	guest_who_ring_destroy(NULL);
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_exit_has_a_record),
		CASE(a_stack_comes_if_it_is_wanted),
		CASE(a_running_task_has_a_record_without_an_exit),
		CASE(a_stack_that_does_not_come_is_left_out),
		CASE(an_exit_without_a_task_has_no_record),
		CASE(a_ring_gives_the_oldest_first),
		CASE(a_full_ring_counts_what_it_loses),
		CASE(a_ring_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
