/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls at arbitrary points: kicks in user mode, in kernel mode, in HLT, in interrupt shadows. */
#include "cases.h"

#define KICK_USEC 700

struct kick_run {
	uint64_t label;
	uint64_t rounds;
	bool user;
	uint64_t gs_base;
	uint64_t cr3_clear;
	bool irqs; /* an interrupt at each kick */
};

static void start(struct machine *m, const struct kick_run *what)
{
	struct kvm_regs regs;

	machine_start(m, what->label);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_REGS, &regs), 0);
	regs.rcx = what->rounds;
	machine_set_regs(m, regs);
	if (what->user)
		machine_enter_user(m);
}

#define KICKS_LEAST 10

/*
 * The guest must end in the same state with and without calls at kicks. Returns the number of
 * calls.
 */
static uint64_t compare_once(struct machine *m, const struct kick_run *what)
{
	static struct machine_state plain, called;
	struct sym_vcpu_stats before, after;

	m->mode = CALLS_NONE;
	start(m, what);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &plain);

	machine_register(m, GUEST_HIGH_LABEL(h_ping), what->gs_base, what->cr3_clear);
	before = machine_stats(m);
	m->mode = CALLS_AT_KICKS;
	start(m, what);
	machine_kick_every(m, KICK_USEC);
	assert_int_equal(machine_run(m), 0);
	machine_kick_every(m, 0);
	machine_get_state(m, &called);
	after = machine_stats(m);
	assert_true(machine_state_equal(&plain, &called));
	assert_int_equal(m->call_errors, 0);
	print_message("# %llu calls at kicks, %llu other ioctls\n",
		      (unsigned long long)(after.completed - before.completed),
		      (unsigned long long)(after.other_ioctls - before.other_ioctls));
	/* The library may look at the segments once per registration, and no more. */
	assert_true(after.other_ioctls - before.other_ioctls <= 1);
	return after.completed - before.completed;
}

/* A machine that stood still while it was calibrated gets longer runs. */
static void compare_kicked(struct machine *m, const struct kick_run *what)
{
	struct kick_run longer = *what;

	while (compare_once(m, &longer) < KICKS_LEAST) {
		longer.rounds *= 4;
		assert_true(longer.rounds < what->rounds << 10);
	}
}

static uint64_t rounds;

/* Enough rounds for some tens of kicks, on a machine of any speed. */
static void calibrate(struct machine *m)
{
	struct kick_run probe = {.label = GUEST_LABEL(g_work_kernel), .rounds = 2000};
	struct timespec a, b;
	uint64_t ns;

	if (rounds)
		return;
	m->mode = CALLS_NONE;
	for (;;) {
		start(m, &probe);
		clock_gettime(CLOCK_MONOTONIC, &a);
		assert_int_equal(machine_run(m), 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		ns = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)b.tv_nsec -
		     (uint64_t)a.tv_nsec;
		if (ns > 10000000)
			break;
		probe.rounds *= 4;
	}
	rounds = probe.rounds * 200000000 / ns;
}

static void test_kernel_irqs_off(void **state)
{
	struct machine *m = *state;

	calibrate(m);
	compare_kicked(m,
		       &(struct kick_run){.label = GUEST_LABEL(g_work_kernel), .rounds = rounds});
}

static void test_kernel_other_gs(void **state)
{
	struct machine *m = *state;

	calibrate(m);
	compare_kicked(m, &(struct kick_run){.label = GUEST_LABEL(g_work_kernel),
					     .rounds = rounds,
					     .gs_base = GS_DATA});
}

static void test_user(void **state)
{
	struct machine *m = *state;

	calibrate(m);
	compare_kicked(m, &(struct kick_run){.label = GUEST_LABEL(g_work_user),
					     .rounds = rounds,
					     .user = true,
					     .gs_base = GS_DATA,
					     .cr3_clear = 0x1000});
}

static void test_shadows(void **state)
{
	struct machine *m = *state;

	calibrate(m);
	compare_kicked(
		m, &(struct kick_run){.label = GUEST_LABEL(g_work_shadow), .rounds = rounds / 2});
}

/* Shadows are rare at kicks. Make one there, and check that the call keeps it. */
static void test_shadow_restored(void **state)
{
	struct machine *m = *state;
	struct kvm_vcpu_events events;
	uint64_t sum;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	for (uint8_t shadow = 0; shadow <= 1; shadow++) {
		machine_start(m, GUEST_LABEL(g_spin));
		machine_kick_once(m, 2000);
		assert_int_equal(machine_run_to_exit(m), -EINTR);
		assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_VCPU_EVENTS, &events), 0);
		events.interrupt.shadow = shadow;
		events.flags = KVM_VCPUEVENT_VALID_SHADOW;
		assert_int_equal(ioctl(m->vcpu_fd, KVM_SET_VCPU_EVENTS, &events), 0);
		assert_int_equal(machine_ping(m, 1, 2, &sum), 0);
		/* SVM knows one kind of shadow, reported as both. */
		assert_int_equal(!!m->run->s.regs.events.interrupt.shadow, shadow);
		m->run->immediate_exit = 1;
		assert_int_equal(machine_run_to_exit(m), -EINTR);
		assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_VCPU_EVENTS, &events), 0);
		assert_int_equal(!!events.interrupt.shadow, shadow);
	}
}

static void send_irq(struct machine *m)
{
	struct kvm_msi msi = {.address_lo = 0xfee00000, .data = VECTOR_IRQ};

	assert_true(ioctl(m->vm_fd, KVM_SIGNAL_MSI, &msi) >= 0);
}

static void halt(struct machine *m)
{
	struct kvm_mp_state mp;

	machine_start(m, GUEST_LABEL(g_hlt));
	/* On a busy host the kick may come before the guest has executed HLT. */
	do {
		machine_kick_once(m, 20000);
		assert_int_equal(machine_run_to_exit(m), -EINTR);
		assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_MP_STATE, &mp), 0);
	} while (mp.mp_state != KVM_MP_STATE_HALTED);
}

static void test_idle(void **state)
{
	struct machine *m = *state;
	static struct machine_state plain, called;
	struct kvm_mp_state mp;
	uint64_t sum;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	halt(m);
	send_irq(m);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &plain);

	/* Halted before the call and after it; then woken. */
	halt(m);
	for (int i = 0; i < 3; i++)
		assert_int_equal(machine_ping(m, 5, 6, &sum), 0);
	machine_kick_once(m, 20000);
	assert_int_equal(machine_run_to_exit(m), -EINTR);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	send_irq(m);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &called);
	assert_true(machine_state_equal(&plain, &called));

	/* Woken before the call: the wake-up is not lost. */
	halt(m);
	send_irq(m);
	assert_int_equal(machine_ping(m, 5, 6, &sum), 0);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &called);
	assert_true(machine_state_equal(&plain, &called));
}

/* A kick that comes while the library runs the vCPU reaches the embedder's loop. */
static void test_kick_not_lost(void **state)
{
	struct machine *m = *state;
	uint64_t sum;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_start(m, GUEST_LABEL(g_out));
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
	m->run->immediate_exit = 1; /* as the signal's handler does */
	assert_int_equal(machine_ping(m, 1, 1, &sum), 0);
	assert_int_equal(machine_run_to_exit(m), -EINTR);
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
}

const struct CMUnitTest kick_tests[] = {
	cmocka_unit_test(test_kernel_irqs_off),
	cmocka_unit_test(test_kernel_other_gs),
	cmocka_unit_test(test_user),
	cmocka_unit_test(test_shadows),
	cmocka_unit_test(test_shadow_restored),
	cmocka_unit_test(test_idle),
	cmocka_unit_test(test_kick_not_lost),
};
const size_t kick_test_count = sizeof(kick_tests) / sizeof(kick_tests[0]);
