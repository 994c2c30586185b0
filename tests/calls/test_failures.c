/* SPDX-License-Identifier: BSD-2-Clause */
/* Handlers and guests that misbehave: the errno, the counter, and a guest that continues. */
#include "cases.h"

/* The guest must continue from exactly the point where it was. */
static void assert_guest_goes_on(struct machine *m)
{
	struct kvm_regs before, after;

	assert_int_equal(sym_vcpu_settle(m->vcpu), 0);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_REGS, &before), 0);
	/* The first kick may have come during the call. */
	for (int i = 0; i < 3; i++) {
		machine_kick_once(m, 3000);
		assert_int_equal(machine_run_to_exit(m), -EINTR);
	}
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_REGS, &after), 0);
	assert_true(after.rip >= GUEST_LABEL(g_spin) && after.rip < GUEST_LABEL(g_spin) + 8);
	assert_true(after.rax > before.rax);
	before.rax = after.rax;
	before.rip = after.rip;
	before.rflags = after.rflags;
	assert_memory_equal(&before, &after, sizeof(after));
}

static void assert_abandoned(struct machine *m, uint64_t handler, int expected)
{
	int64_t value;
	uint64_t sum, control = 0;

	assert_int_equal(machine_call(m, handler, 1, 2, &value), expected);
	assert_guest_goes_on(m);
	/* Calls stay off until the guest registers again. */
	assert_int_equal(machine_ping(m, 1, 2, &sum), -ENOTRECOVERABLE);
	assert_false(sym_vcpu_enabled(m->vcpu));
	assert_int_equal(machine_rdmsr(m, SYM_MSR_BASE + SYM_MSR_CONTROL, &control), 0);
	assert_int_equal(control, SYM_CONTROL_ENABLE | SYM_CONTROL_LATCHED);
	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_ping), 20, 3, &value), 0);
	assert_int_equal(value, 23);
}

static void test_never_returns(void **state)
{
	struct machine *m = *state;

	assert_abandoned(m, GUEST_HIGH_LABEL(h_hang), -ETIMEDOUT);
	assert_int_equal(machine_stats(m).abandoned_deadline, 1);
}

static void test_halts(void **state)
{
	assert_abandoned(*state, GUEST_HIGH_LABEL(h_hlt), -ETIMEDOUT);
}

static void test_exits_forever(void **state)
{
	assert_abandoned(*state, GUEST_HIGH_LABEL(h_mmio_forever), -ETIMEDOUT);
	assert_abandoned(*state, GUEST_HIGH_LABEL(h_in_forever), -ETIMEDOUT);
}

static void test_faults_forever(void **state)
{
	struct machine *m = *state;

	assert_abandoned(m, GUEST_HIGH_LABEL(h_ud), -ETIMEDOUT);
}

/* A triple fault resets the vCPU on AMD, so no context can be restored. The VMM learns of it. */
static void test_triple_fault(void **state)
{
	struct machine *m = *state;
	int64_t value;

	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_triple), 1, 2, &value), -EFAULT);
	assert_int_equal(machine_stats(m).abandoned_fault, 1);
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_SHUTDOWN);
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_SHUTDOWN);
	/* After a guest's reboot the library has forgotten all, and everything works again. */
	sym_vm_reset(m->sym_vm);
	sym_vcpu_reset(m->vcpu);
	assert_int_equal(sym_vm_features(m->sym_vm), 0);
	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_ping), 1, 2, &value), 0);
	assert_int_equal(value, 3);
}

static void test_stopped_by_vmm(void **state)
{
	struct machine *m = *state;

	m->stop_at_other = true;
	assert_abandoned(m, GUEST_HIGH_LABEL(h_devices), -ECANCELED);
	assert_int_equal(machine_stats(m).abandoned_stop, 1);
}

static void test_nested_call(void **state)
{
	struct machine *m = *state;
	int64_t value;

	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_nested), 0, 0, &value), 0);
	assert_int_equal(value, -EBUSY);
	assert_int_equal(m->nested_result, -EBUSY);
	assert_int_equal(machine_stats(m).refused_busy, 1);
	assert_guest_goes_on(m);
}

static void test_doorbell_in_handler(void **state)
{
	struct machine *m = *state;
	int64_t value;

	machine_register(m, GUEST_HIGH_LABEL(h_doorbell), GS_DATA, 0);
	machine_spy_pages(m);
	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_doorbell), 0, 0, &value), 0);
	assert_int_equal(value, 7);
	assert_int_equal(machine_stats(m).doorbells_nested, 1);
	assert_int_equal(machine_stats(m).doorbells, 0);
}

static void test_sequence(void **state)
{
	struct machine *m = *state;
	int64_t value;

	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_bad_sequence), 4, 5, &value), 0);
	assert_int_equal(value, 9);
	assert_int_equal(machine_stats(m).returns_bad_sequence, 2);
	assert_guest_goes_on(m);
}

static void test_form(void **state)
{
	struct machine *m = *state;
	int64_t value;

	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_bad_form), 4, 5, &value), 0);
	assert_int_equal(value, 9);
	assert_int_equal(machine_stats(m).returns_bad_form, 1);
	assert_guest_goes_on(m);
	/* KVM's emulator splits REP OUTS. A single item looks like OUT, and is as good. */
	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_outs), 4, 5, &value), 0);
	assert_int_equal(value, 9);
	assert_guest_goes_on(m);
}

static void test_return_without_call(void **state)
{
	struct machine *m = *state;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_start(m, GUEST_LABEL(g_user_return));
	assert_int_equal(machine_run(m), 0);
	assert_int_equal(machine_stats(m).returns_without_call, 1);
	assert_int_equal(machine_stats(m).doorbells_forged, 1);
	/* The same by a process with I/O rights. */
	machine_start(m, GUEST_LABEL(g_user_return));
	machine_enter_user(m);
	assert_int_equal(machine_run(m), 0);
	assert_int_equal(machine_stats(m).returns_without_call, 2);
	assert_int_equal(machine_stats(m).doorbells_forged, 2);
}

static void test_return_from_user(void **state)
{
	struct machine *m = *state;
	int64_t value;

	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_user), 0, 0, &value), 0);
	assert_int_equal(value, 77);
	assert_int_equal(machine_stats(m).returns_bad_privilege, 1);
	assert_guest_goes_on(m);
}

static void test_torn_down_in_call(void **state)
{
	struct machine *m = *state;
	int64_t value;
	uint64_t sum, control = 1;

	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_disable), 0, 0, &value), 0);
	assert_int_equal(value, 5);
	assert_guest_goes_on(m);
	assert_int_equal(machine_ping(m, 1, 2, &sum), -ENOTCONN);
	machine_rdmsr(m, SYM_MSR_BASE + SYM_MSR_CONTROL, &control);
	assert_int_equal(control, 0);
}

static void test_not_registered(void **state)
{
	struct machine *m = *state;
	const struct sym_call_request wrong = {.number = SYM_CALL_SAFEPOINT_PING};
	struct sym_call_result result;
	uint64_t sum;

	machine_start(m, GUEST_LABEL(g_spin));
	machine_kick_once(m, 2000);
	assert_int_equal(machine_run_to_exit(m), -EINTR);
	assert_int_equal(machine_ping(m, 1, 2, &sum), -ENOTCONN);
	assert_int_equal(sym_call(m->vcpu, &wrong, &result), -EINVAL);
	assert_int_equal(sym_call_safepoint(m->vcpu, &wrong, &result), -EPERM);
	assert_int_equal(machine_stats(m).refused_unregistered, 1);
	assert_int_equal(machine_stats(m).refused_number, 1);
	assert_guest_goes_on(m);
}

/* Contexts that a call must not enter. */
static void test_refused_places(void **state)
{
	struct machine *m = *state;
	struct kvm_vcpu_events events;
	struct kvm_sregs sregs;
	uint64_t sum;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_start(m, GUEST_LABEL(g_spin));
	machine_kick_once(m, 2000);
	assert_int_equal(machine_run_to_exit(m), -EINTR);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_VCPU_EVENTS, &events), 0);
	events.flags = 0;
	events.nmi.masked = 1;
	assert_int_equal(ioctl(m->vcpu_fd, KVM_SET_VCPU_EVENTS, &events), 0);
	assert_int_equal(machine_ping(m, 1, 2, &sum), -EAGAIN);
	assert_int_equal(machine_stats(m).refused_nmi, 1);
	events.nmi.masked = 0;
	assert_int_equal(ioctl(m->vcpu_fd, KVM_SET_VCPU_EVENTS, &events), 0);
	assert_int_equal(machine_ping(m, 1, 2, &sum), 0);

	/* The firmware's and the boot loader's modes. */
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs), 0);
	machine_start(m, GUEST_LABEL(g_spin));
	sregs.cr0 = 0x10;
	sregs.cr4 = 0;
	sregs.efer = 0;
	sregs.cs.l = 0;
	assert_int_equal(ioctl(m->vcpu_fd, KVM_SET_SREGS, &sregs), 0);
	assert_int_equal(machine_ping(m, 1, 2, &sum), -EAGAIN);
	assert_int_equal(machine_stats(m).refused_mode, 1);
	/* The kernel that was there has been reset, and its registration with it. */
	assert_int_equal(machine_ping(m, 1, 2, &sum), -ENOTCONN);
}

static void test_blocked_stack(void **state)
{
	struct machine *m = *state;
	uint64_t sum;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	assert_int_equal(machine_wrmsr(m, SYM_MSR_BASE + SYM_MSR_CONTROL, 0), 0);
	assert_int_equal(machine_wrmsr(m, SYM_MSR_BASE + SYM_MSR_BLOCK_START, KERNEL_STACK), 0);
	assert_int_equal(machine_wrmsr(m, SYM_MSR_BASE + SYM_MSR_BLOCK_END, KERNEL_STACK + 1), 0);
	assert_int_equal(machine_wrmsr(m, SYM_MSR_BASE + SYM_MSR_CONTROL, 1), 0);
	machine_start(m, GUEST_LABEL(g_spin));
	machine_kick_once(m, 2000);
	assert_int_equal(machine_run_to_exit(m), -EINTR);
	assert_int_equal(machine_ping(m, 1, 2, &sum), -EAGAIN);
	assert_int_equal(machine_stats(m).refused_stack, 1);
	assert_guest_goes_on(m);
}

static void test_own_ports(void **state)
{
	struct machine *m = *state;
	struct machine_state after;

	machine_start(m, GUEST_LABEL(g_own_ports_in));
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &after);
	assert_int_equal(after.regs.rax, 0xffffffff);
}

/* A reboot asked for inside a handler: the call ends, a fresh registration works. */
static void test_reset_in_call(void **state)
{
	struct machine *m = *state;
	int64_t value;

	m->stop_at_other = true;
	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_devices), 0, 0, &value), -ECANCELED);
	m->stop_at_other = false;
	sym_vm_reset(m->sym_vm);
	sym_vcpu_reset(m->vcpu);
	assert_false(sym_vcpu_enabled(m->vcpu));
	assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_ping), 8, 9, &value), 0);
	assert_int_equal(value, 17);
}

/* The state with which the handler begins. */
static void test_entry_registers(void **state)
{
	struct machine *m = *state;
	const struct sym_call_request request = {.number = 0x123, .args = {11, 22, 33, 44, 55}};
	struct sym_call_result result;
	const struct sym_spy_vcpu *spy = (void *)(m->ram + SPY_VCPU);
	uint64_t echo[13], marker = 0x6d61726b;

	machine_register(m, GUEST_HIGH_LABEL(h_echo), GS_DATA, 0x1000);
	machine_spy_pages(m);
	memcpy(m->ram + GS_DATA, &marker, sizeof(marker));
	machine_start(m, GUEST_LABEL(g_out));
	machine_enter_user(m);
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
	assert_int_equal(sym_call(m->vcpu, &request, &result), 0);
	memcpy(echo, m->ram + ECHO, sizeof(echo));
	assert_int_equal(echo[0], 0x123);
	for (int i = 0; i < 5; i++)
		assert_int_equal(echo[1 + i], 11 * (i + 1));
	assert_int_equal(echo[6], SYM_ENTRY_CONTEXT);
	assert_true(echo[7] == GUEST_HIGH + CALL_STACK);
	assert_int_equal(echo[8], SEL_KCODE);
	assert_int_equal(echo[9], SEL_KDATA);
	assert_int_equal(echo[10], PML4);
	assert_int_equal(echo[11], 2);
	assert_int_equal(echo[12], marker);
	assert_int_equal(spy->host.context.rsp, USER_STACK);
	assert_int_equal(spy->host.context.cs, SEL_UCODE);
	assert_int_equal(spy->host.context.cr3, PML4_USER);
	assert_int_equal(spy->host.context.gs_base, 0x1234000);
	assert_int_equal(spy->host.context.rbp, 7);
	assert_in_range(spy->host.context.rip, USER_BASE + GUEST_LABEL(g_out) + 5,
			USER_BASE + GUEST_LABEL(g_out) + 7);
}

/*
 * A guest that fuzzes registration, returns and doorbells while the VMM calls at its exits and
 * at kicks. Whatever happens to the guest, the VMM continues, and a new guest starts clean.
 */
static void fuzz_guest(struct machine *m, uint64_t seed)
{
	const struct sym_call_request request = {.number = SYM_CALL_PING, .deadline_us = 3000};
	struct sym_call_result result;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_spy_pages(m);
	machine_start(m, GUEST_LABEL(g_fuzz));
	machine_set_gate(m, 13, GUEST_LABEL(i_gp_skip));
	machine_set_regs(m, (struct kvm_regs){.rip = GUEST_LABEL(g_fuzz),
					      .rsp = KERNEL_STACK,
					      .rflags = 2,
					      .r12 = seed,
					      .r13 = 300});
	machine_kick_every(m, 2000);
	for (int i = 0; i < 2000; i++) {
		int exit = machine_run_to_exit(m);

		if (exit == -EINTR || (exit == KVM_EXIT_IO && m->run->io.port == PORT_TEST))
			sym_call(m->vcpu, &request, &result);
		else if (exit == KVM_EXIT_X86_WRMSR || exit == KVM_EXIT_X86_RDMSR)
			sym_vcpu_answer_fault(m->vcpu); /* beyond the interface's MSRs */
		else if (exit != KVM_EXIT_IO || m->run->io.port == PORT_END)
			break;
	}
	machine_kick_every(m, 0);
	sym_vm_reset(m->sym_vm);
	sym_vcpu_reset(m->vcpu);
}

static void test_fuzzing_guest(void **state)
{
	struct machine *m = *state;
	const char *rounds = getenv("SYMCALL_FUZZ_ROUNDS");
	struct sym_vcpu_stats stats;
	int64_t value;

	for (int i = 0; i < (rounds ? atoi(rounds) : 20); i++) {
		fuzz_guest(m, 0x9e3779b97f4a7c15 * (uint64_t)(i + 1));
		assert_int_equal(machine_call(m, GUEST_HIGH_LABEL(h_ping), 1, 2, &value), 0);
		assert_int_equal(value, 3);
		sym_vm_reset(m->sym_vm);
		sym_vcpu_reset(m->vcpu);
	}
	stats = machine_stats(m);
	print_message("# %llu MSR writes, %llu refused, %llu calls, %llu abandoned\n",
		      (unsigned long long)stats.msr_writes, (unsigned long long)stats.msr_refused,
		      (unsigned long long)stats.calls,
		      (unsigned long long)(stats.abandoned_deadline + stats.abandoned_fault));
	assert_true(stats.msr_refused > 500);
	assert_true(stats.returns_without_call > 20);
	assert_true(stats.completed > 20);
}

const struct CMUnitTest failure_tests[] = {
	cmocka_unit_test(test_fuzzing_guest),
	cmocka_unit_test(test_never_returns),
	cmocka_unit_test(test_halts),
	cmocka_unit_test(test_exits_forever),
	cmocka_unit_test(test_faults_forever),
	cmocka_unit_test(test_triple_fault),
	cmocka_unit_test(test_stopped_by_vmm),
	cmocka_unit_test(test_nested_call),
	cmocka_unit_test(test_doorbell_in_handler),
	cmocka_unit_test(test_sequence),
	cmocka_unit_test(test_form),
	cmocka_unit_test(test_return_without_call),
	cmocka_unit_test(test_return_from_user),
	cmocka_unit_test(test_torn_down_in_call),
	cmocka_unit_test(test_not_registered),
	cmocka_unit_test(test_refused_places),
	cmocka_unit_test(test_blocked_stack),
	cmocka_unit_test(test_own_ports),
	cmocka_unit_test(test_reset_in_call),
	cmocka_unit_test(test_entry_registers),
};
const size_t failure_test_count = sizeof(failure_tests) / sizeof(failure_tests[0]);
