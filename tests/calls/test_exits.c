/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls at every kind of exit. The guest's whole state, and the accesses that its devices
 * saw, must be the same as in a run without calls.
 */
#include "cases.h"

struct exit_case {
	const char *name;
	uint64_t label;
	bool fault_msr;
	void (*at_exit)(struct machine *m);
};

static const enum call_mode modes[] = {CALLS_BEFORE_ANSWER, CALLS_AFTER_ANSWER, CALLS_TWICE};

static void run_case(struct machine *m, uint64_t label, struct machine_state *state)
{
	machine_start(m, label);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, state);
}

/* Runs once with the handler in the interrupted context, once with segments and CR3 to load. */
static void compare(void **test_state, uint64_t label, bool fault_msr)
{
	struct machine *m = *test_state;
	static struct machine_state plain, called;
	const uint64_t gs_bases[] = {0, GS_DATA};

	m->fault_msr = fault_msr;
	m->mode = CALLS_NONE;
	run_case(m, label, &plain);
	for (size_t gs = 0; gs < 2; gs++) {
		machine_register(m, GUEST_HIGH_LABEL(h_ping), gs_bases[gs], 0);
		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
			m->mode = modes[i];
			run_case(m, label, &called);
			if (!machine_state_equal(&plain, &called))
				fail_msg("state differs, mode %d, gs %zu", modes[i], gs);
			assert_int_equal(m->call_errors, 0);
			assert_true(m->call_count > 0);
		}
	}
	m->mode = CALLS_NONE;
	m->fault_msr = false;
}

#define EXIT_TEST(test, label, fault)                      \
	static void test(void **state)                     \
	{                                                  \
		compare(state, GUEST_LABEL(label), fault); \
	}

EXIT_TEST(test_out, g_out, false)
EXIT_TEST(test_in, g_in, false)
EXIT_TEST(test_rep_outs, g_outs, false)
EXIT_TEST(test_rep_ins, g_ins, false)
EXIT_TEST(test_mmio_write, g_mmio_write, false)
EXIT_TEST(test_mmio_read, g_mmio_read, false)
EXIT_TEST(test_mmio_rmw, g_mmio_rmw, false)
EXIT_TEST(test_movs_to_mmio, g_movs_to_mmio, false)
EXIT_TEST(test_movs_from_mmio, g_movs_from_mmio, false)
EXIT_TEST(test_rdmsr, g_rdmsr_test, false)
EXIT_TEST(test_wrmsr, g_wrmsr_test, false)
EXIT_TEST(test_rdmsr_fault, g_rdmsr_test, true)
EXIT_TEST(test_wrmsr_fault, g_wrmsr_test, true)
EXIT_TEST(test_sti_out, g_sti_out, false)
EXIT_TEST(test_movss_out, g_movss_out, false)

/* What a library function of the VMM may do between an exit and the next entry. */
static void clobber_avx(struct machine *m)
{
	__asm__ volatile("vxorps %%ymm0, %%ymm0, %%ymm0; vxorps %%ymm15, %%ymm15, %%ymm15"
			 :
			 :
			 : "xmm0", "xmm15");
}

/* The guest finds its AVX registers as they were, with and without calls. */
static void test_avx(void **state)
{
	struct machine *m = *state;

	if (!__builtin_cpu_supports("avx"))
		skip();
	m->at_exit = clobber_avx;
	compare(state, GUEST_LABEL(g_avx), false);
	m->at_exit = NULL;
	assert_memory_equal(m->ram + BUFFER + 0x800, m->ram + BUFFER, 64);
}

/* A debugger steps over OUT. It sees the same steps, and never the handler. */
static void test_single_step(void **state)
{
	struct machine *m = *state;
	static struct machine_state plain, called;
	const struct kvm_guest_debug step = {.control = KVM_GUESTDBG_ENABLE |
							KVM_GUESTDBG_SINGLESTEP};
	uint64_t steps;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	m->mode = CALLS_NONE;
	machine_start(m, GUEST_LABEL(g_out));
	assert_int_equal(sym_vcpu_set_guest_debug(m->vcpu, &step), 0);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &plain);
	steps = m->debug_exits;
	assert_true(steps > 0);

	m->mode = CALLS_BEFORE_ANSWER;
	machine_start(m, GUEST_LABEL(g_out));
	assert_int_equal(sym_vcpu_set_guest_debug(m->vcpu, &step), 0);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &called);
	assert_true(machine_state_equal(&plain, &called));
	assert_int_equal(m->debug_exits, steps);
	assert_int_equal(m->call_errors, 0);
	assert_true(m->call_count > 3);
}

static void raise_nmi(struct machine *m)
{
	assert_int_equal(ioctl(m->vcpu_fd, KVM_NMI, 0), 0);
}

static void raise_irq(struct machine *m)
{
	struct kvm_msi msi = {.address_lo = 0xfee00000, .data = VECTOR_IRQ};

	assert_true(ioctl(m->vm_fd, KVM_SIGNAL_MSI, &msi) >= 0);
}

/* As if the next instruction had raised #UD, which is injected but not delivered yet. */
static void raise_exception(struct machine *m)
{
	struct kvm_vcpu_events events;

	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_VCPU_EVENTS, &events), 0);
	events.exception.injected = 1;
	events.exception.nr = 6;
	events.flags = 0;
	assert_int_equal(ioctl(m->vcpu_fd, KVM_SET_VCPU_EVENTS, &events), 0);
}

/* As if an exit had interrupted the delivery of an interrupt that was acknowledged. */
static void inject_irq(struct machine *m)
{
	struct kvm_vcpu_events events;

	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_VCPU_EVENTS, &events), 0);
	events.interrupt.injected = 1;
	events.interrupt.nr = VECTOR_IRQ;
	events.flags = 0;
	assert_int_equal(ioctl(m->vcpu_fd, KVM_SET_VCPU_EVENTS, &events), 0);
}

static void compare_pending(struct machine *m, void (*raise)(struct machine *), unsigned int vector,
			    uint64_t rflags)
{
	static struct machine_state states[3];
	const enum call_mode runs[] = {CALLS_NONE, CALLS_BEFORE_ANSWER, CALLS_TWICE};
	struct kvm_regs regs;
	uint64_t count;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	m->at_exit = raise;
	for (int i = 0; i < 3; i++) {
		m->mode = runs[i];
		machine_start(m, GUEST_LABEL(g_out_work));
		assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_REGS, &regs), 0);
		regs.rflags = rflags;
		regs.rcx = 1000;
		machine_set_regs(m, regs);
		assert_int_equal(machine_run(m), 0);
		machine_get_state(m, &states[i]);
		memcpy(&count, m->ram + COUNTERS + 8 * vector, 8);
		assert_int_equal(count, 1);
	}
	m->at_exit = NULL;
	assert_true(machine_state_equal(&states[0], &states[1]));
	assert_true(machine_state_equal(&states[0], &states[2]));
	assert_int_equal(m->call_errors, 0);
}

static void test_pending_nmi(void **state)
{
	compare_pending(*state, raise_nmi, 2, 2);
}

static void test_pending_irq(void **state)
{
	compare_pending(*state, raise_irq, VECTOR_IRQ, 0x202);
}

static void test_pending_exception(void **state)
{
	compare_pending(*state, raise_exception, 6, 2);
}

static void test_injected_irq(void **state)
{
	compare_pending(*state, inject_irq, VECTOR_IRQ, 0x202);
}

/* The VMM serves device accesses inside the handler; they change nothing outside. */
static void test_devices_in_handler(void **state)
{
	struct machine *m = *state;
	static struct machine_state plain, called;
	const struct sym_call_request request = {.number = SYM_CALL_PING};
	struct sym_call_result result;

	m->mode = CALLS_NONE;
	run_case(m, GUEST_LABEL(g_in), &plain);
	machine_register(m, GUEST_HIGH_LABEL(h_devices), GS_DATA, 0);
	machine_start(m, GUEST_LABEL(g_in));
	for (;;) {
		assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
		if (m->run->io.port == PORT_END)
			break;
		assert_int_equal(sym_call(m->vcpu, &request, &result), 0);
		assert_int_equal(result.value, 9);
		assert_int_equal(devices_service(m), 0);
	}
	machine_get_state(m, &called);
	assert_true(machine_state_equal(&plain, &called));
}

const struct CMUnitTest exit_tests[] = {
	cmocka_unit_test(test_out),
	cmocka_unit_test(test_in),
	cmocka_unit_test(test_rep_outs),
	cmocka_unit_test(test_rep_ins),
	cmocka_unit_test(test_mmio_write),
	cmocka_unit_test(test_mmio_read),
	cmocka_unit_test(test_mmio_rmw),
	cmocka_unit_test(test_movs_to_mmio),
	cmocka_unit_test(test_movs_from_mmio),
	cmocka_unit_test(test_rdmsr),
	cmocka_unit_test(test_wrmsr),
	cmocka_unit_test(test_rdmsr_fault),
	cmocka_unit_test(test_wrmsr_fault),
	cmocka_unit_test(test_sti_out),
	cmocka_unit_test(test_movss_out),
	cmocka_unit_test(test_avx),
	cmocka_unit_test(test_single_step),
	cmocka_unit_test(test_pending_nmi),
	cmocka_unit_test(test_pending_irq),
	cmocka_unit_test(test_pending_exception),
	cmocka_unit_test(test_injected_irq),
	cmocka_unit_test(test_devices_in_handler),
};
const size_t exit_test_count = sizeof(exit_tests) / sizeof(exit_tests[0]);
