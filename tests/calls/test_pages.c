/* SPDX-License-Identifier: BSD-2-Clause */
/* Discovery, registration MSRs, SymSpy pages, messages, doorbells. */
#include "cases.h"

static int wr(struct machine *m, uint32_t index, uint64_t value)
{
	return machine_wrmsr(m, SYM_MSR_BASE + index, value);
}

static void test_cpuid(void **state)
{
	struct machine *m = *state;
	struct kvm_regs regs;
	char signature[13] = "";

	machine_start(m, GUEST_LABEL(g_cpuid));
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_REGS, &regs), 0);
	regs.rax = SYM_CPUID_BASE;
	machine_set_regs(m, regs);
	assert_int_equal(machine_run(m), 0);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_REGS, &regs), 0);
	assert_int_equal(regs.rax & 0xffffffff, SYM_CPUID_MAX);
	memcpy(signature, &regs.rbx, 4);
	memcpy(signature + 4, &regs.rcx, 4);
	memcpy(signature + 8, &regs.rsi, 4);
	assert_string_equal(signature, SYM_SIGNATURE);
}

static void test_bad_registrations(void **state)
{
	struct machine *m = *state;
	const uint64_t version = (uint64_t)SYM_ABI_VERSION << 32;
	uint64_t value = 0;

	assert_int_equal(wr(m, SYM_MSR_GUEST, (uint64_t)(SYM_ABI_MAJOR + 1) << 48),
			 -EPROTONOSUPPORT);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), -EPERM);
	assert_int_equal(wr(m, SYM_MSR_SPY_VM, SPY_VM | 1), -EPERM);
	assert_int_equal(wr(m, SYM_MSR_GUEST, version | 0xffffffff), 0);
	machine_rdmsr(m, SYM_MSR_BASE + SYM_MSR_GUEST, &value);
	assert_int_equal(value, version | SYM_FEATURES_ALL);
	assert_int_equal(wr(m, SYM_MSR_STATUS, 0), -EPERM);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 4), -EINVAL);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RIP, 0x1000), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RIP, 0x8000000000000000), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RSP, 0x7fffffffffffffff), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RSP, GUEST_HIGH + 4), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_GS_BASE, 0x8000000000000000), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_SEGS, 0x00100008 | 3), -EINVAL);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_SEGS, 0), -EINVAL);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_SEGS, 1ull << 32 | 8), -EINVAL);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_CR3, 1ull << 13), -EINVAL);
	/* Nothing registered yet, then one thing after the other missing or unmapped. */
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), -EINVAL);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_SEGS, SEL_KCODE | SEL_KDATA << 16), 0);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RIP, 0xffffffffc0000000), 0);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RSP, GUEST_HIGH + CALL_STACK), 0);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RIP, GUEST_HIGH_LABEL(h_ping)), 0);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RSP, 0xffff800000000000), 0);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RSP, GUEST_HIGH + CALL_STACK), 0);
	assert_int_equal(wr(m, SYM_MSR_BLOCK_START, 2), 0);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), -EINVAL);
	assert_int_equal(wr(m, SYM_MSR_BLOCK_START, 0), 0);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), 0);
	/* Locked while enabled. */
	assert_int_equal(wr(m, SYM_MSR_ENTRY_RIP, GUEST_HIGH_LABEL(h_hang)), -EBUSY);
	assert_int_equal(wr(m, SYM_MSR_GUEST, version), -EBUSY);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 1), 0);
	assert_int_equal(wr(m, SYM_MSR_CONTROL, 0), 0);
	assert_true(machine_stats(m).msr_refused >= 17);
}

static void test_spy_registration(void **state)
{
	struct machine *m = *state;
	const uint64_t bad[] = {SPY_VM | 2 | 1, SPY_VM, SPY_VM + 8 + 1};
	struct sym_spy_vm_guest guest;
	struct sym_spy_vcpu_guest vcpu_guest;
	char panic[SYM_PANIC_SIZE];

	assert_int_equal(sym_vm_spy_read(m->sym_vm, &guest), -ENODATA);
	assert_int_equal(sym_vcpu_spy_read(m->vcpu, &vcpu_guest), -ENODATA);
	assert_int_equal(sym_vm_spy_read_panic(m->sym_vm, panic), -ENODATA);
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(wr(m, SYM_MSR_SPY_VM, bad[i]), -EINVAL);
		assert_int_equal(wr(m, SYM_MSR_SPY_VCPU, bad[i]), -EINVAL);
	}
	/* Beyond RAM, at its end, where addresses wrap. */
	assert_int_equal(wr(m, SYM_MSR_SPY_VM, GUEST_RAM_SIZE | 1), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_SPY_VCPU, MMIO_TEST | 1), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_SPY_VCPU, 0xfffffffffffff001), -EFAULT);
	assert_int_equal(wr(m, SYM_MSR_SPY_VM, (GUEST_RAM_SIZE - 4096) | 1), 0);
}

static void test_spy_contents(void **state)
{
	struct machine *m = *state;
	struct sym_spy_vm *vm_page = (void *)(m->ram + SPY_VM);
	struct sym_spy_vcpu *page = (void *)(m->ram + SPY_VCPU);
	struct sym_spy_vcpu *page_2 = (void *)(m->ram + SPY_VCPU_2);
	const struct sym_publication publication = {
		150, 8, 42, 7, 0x99, {1ull << 33},
	};
	struct sym_spy_vm_guest guest;
	struct sym_spy_vcpu_guest vcpu_guest;
	uint64_t cookie, sum;

	memset(vm_page, 0xff, 4096);
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	sym_vm_publish(m->sym_vm, &publication);
	machine_spy_pages(m);
	assert_true(vm_page->host.magic == SYM_SPY_VM_MAGIC);
	assert_string_equal((char *)vm_page->host.name, "bare");
	assert_int_equal(vm_page->host.uuid[2], 3);
	assert_int_equal(vm_page->host.host_load, 150);
	assert_int_equal(vm_page->host.policy, 0x99);
	assert_true(vm_page->host.swap_windows[0] == 1ull << 33);
	assert_true(vm_page->host.swap_windows[1] == 0);
	assert_int_equal(vm_page->host.seq & 1, 0);
	assert_true(page->host.magic == SYM_SPY_VCPU_MAGIC);
	assert_int_equal(page->host.preempted, 1);
	assert_int_equal(vm_page->guest.boot_state,
			 0xffffffff); /* the guest's part is left alone */

	memset(&vm_page->guest, 0, sizeof(vm_page->guest));
	memset(vm_page->guest.os, 'x', sizeof(vm_page->guest.os));
	vm_page->guest.mem_free = 1234567;
	assert_int_equal(sym_vm_spy_read(m->sym_vm, &guest), 0);
	assert_int_equal(guest.mem_free, 1234567);
	assert_int_equal(strlen((char *)guest.os), 63);
	vm_page->guest.seq = 1; /* a writer that never ends */
	assert_int_equal(sym_vm_spy_read(m->sym_vm, &guest), -EAGAIN);
	page->guest.pid = 77;
	assert_int_equal(sym_vcpu_spy_read(m->vcpu, &vcpu_guest), 0);
	assert_int_equal(vcpu_guest.pid, 77);

	/* Moved: the library uses the new page, and never writes to the old one again. */
	cookie = page->host.cookie;
	assert_int_equal(wr(m, SYM_MSR_SPY_VCPU, SPY_VCPU_2 | 1), 0);
	assert_true(page_2->host.cookie != cookie && page_2->host.cookie);
	memset(page, 0xee, 4096);
	machine_start(m, GUEST_LABEL(g_out));
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
	assert_int_equal(machine_ping(m, 1, 2, &sum), 0);
	assert_int_equal(machine_run(m), 0);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(((uint8_t *)page)[i], 0xee);
	assert_int_equal(page_2->host.calls, 1);
	/* Taken away. */
	assert_int_equal(wr(m, SYM_MSR_SPY_VCPU, 0), 0);
	assert_int_equal(sym_vcpu_spy_read(m->vcpu, &vcpu_guest), -ENODATA);
	assert_int_equal(wr(m, SYM_MSR_SPY_VM, 0), 0);
	assert_int_equal(sym_vm_spy_read(m->sym_vm, &guest), -ENODATA);
}

/* A page over the guest's own code, tables or call stack harms only the guest. */
static void test_spy_over_ram_in_use(void **state)
{
	struct machine *m = *state;
	const uint64_t places[] = {PML4, IDT, CODE, CALL_STACK - 4096};
	uint64_t sum;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
		machine_start(m, GUEST_LABEL(g_wrmsr));
		machine_set_regs(m, (struct kvm_regs){.rip = GUEST_LABEL(g_wrmsr),
						      .rsp = KERNEL_STACK,
						      .rflags = 2,
						      .rcx = MSR_SPY_VCPU,
						      .rax = places[i] | 1});
		machine_kick_every(m, 5000);
		for (int n = 0; n < 4; n++) {
			int exit = machine_run_to_exit(m);

			if (exit == KVM_EXIT_IO || exit == -EINTR)
				machine_ping(m, 1, 2, &sum);
			else
				break;
		}
		sym_vm_reset(m->sym_vm);
		sym_vcpu_reset(m->vcpu);
	}
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_start(m, GUEST_LABEL(g_out));
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
	assert_int_equal(machine_ping(m, 1, 2, &sum), 0);
}

static void test_messages(void **state)
{
	struct machine *m = *state;
	static uint8_t buffer[SYM_MESSAGE_SIZE + 1];
	struct sym_call_request request = {.number = 1, .message = buffer, .message_size = 64};
	const struct {
		int64_t length;
		size_t room;
		uint64_t drop_page;
		int error;
	} cases[] = {
		{64, 64, 0, 0},
		{0, 64, 0, 0},
		{-ENOMEM, 64, 0, 0},
		{65, 64, 0, -EMSGSIZE},
		{SYM_MESSAGE_SIZE, sizeof(buffer), 0, 0},
		{SYM_MESSAGE_SIZE + 1, sizeof(buffer), 0, -EPROTO},
		{INT64_MAX, sizeof(buffer), 0, -EPROTO},
		{INT64_MIN, sizeof(buffer), 0, 0},
		{16, 64, 1, -ENODATA},
	};

	machine_register(m, GUEST_HIGH_LABEL(h_message), GS_DATA, 0);
	machine_spy_pages(m);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sym_call_result result;
		size_t expected = !cases[i].error && cases[i].length > 0 ? (size_t)cases[i].length
									 : 0;

		memset(buffer, 0, sizeof(buffer));
		request.args[0] = (uint64_t)cases[i].length;
		request.args[1] = cases[i].drop_page;
		request.message_size = cases[i].room;
		machine_start(m, GUEST_LABEL(g_out));
		assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
		assert_int_equal(sym_call(m->vcpu, &request, &result), cases[i].error);
		assert_true(result.value == cases[i].length);
		assert_int_equal(result.message_length, expected);
		if (expected)
			assert_int_equal(buffer[0], 0x5a);
		assert_int_equal(buffer[expected], 0);
	}
	assert_int_equal(machine_stats(m).messages_refused, 4);
}

struct bell {
	int rings, errors;
	uint64_t request, sum;
	int want_error;
	bool atomic_too;
	uint32_t calls;
};

static uint64_t on_bell(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
			const uint64_t request[6])
{
	struct bell *bell = opaque;
	struct sym_call_request call = {
		.number = SYM_CALL_SAFEPOINT_PING, .args = {100, 1}, .deadline_us = 30000};
	struct sym_call_result result = {0};
	uint64_t sum;

	bell->rings++;
	bell->request = request[0];
	for (uint32_t i = 0; i < bell->calls; i++) {
		int error = sym_call_safepoint(vcpu, &call, &result);

		if (error != bell->want_error)
			bell->errors++;
		bell->sum += (uint64_t)result.value;
		if (error)
			break;
	}
	if (bell->atomic_too && machine_ping(vcpu_opaque, 3, 4, &sum))
		bell->errors++;
	return 4711;
}

static void start_doorbell(struct machine *m, uint64_t label, uint64_t reason, uint64_t hang)
{
	machine_start(m, label);
	machine_set_regs(m, (struct kvm_regs){.rip = label,
					      .rsp = KERNEL_STACK,
					      .rflags = 2,
					      .rsi = SPY_VCPU,
					      .rdi = reason,
					      .rcx = 0x5ca1ab1e,
					      .r8 = hang});
}

static void test_doorbell(void **state)
{
	struct machine *m = *state;
	struct bell bell = {.calls = 3};
	struct machine_state after;
	struct sym_vcpu_stats before, stats;

	assert_int_equal(sym_vm_set_doorbell(m->sym_vm, SYM_DOORBELL_REASONS, on_bell, &bell),
			 -ENOSPC);
	assert_int_equal(sym_vm_set_doorbell(m->sym_vm, 5, on_bell, &bell), 0);
	assert_int_equal(sym_vm_set_doorbell(m->sym_vm, 5, on_bell, &bell), -EEXIST);
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_spy_pages(m);
	before = machine_stats(m);
	start_doorbell(m, GUEST_LABEL(g_doorbell), 5, 0);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &after);
	stats = machine_stats(m);
	assert_int_equal(after.regs.rbx, 4711);
	assert_int_equal(after.regs.rcx, SYM_DOORBELL_STATE_VERDICT);
	assert_int_equal(bell.rings, 1);
	assert_int_equal(bell.errors, 0);
	assert_int_equal(bell.request, 0x5ca1ab1e);
	assert_int_equal(bell.sum, 303);
	assert_int_equal(stats.safepoint_completed, 3);
	/* One KVM_RUN each, nothing else. */
	assert_int_equal(stats.kvm_runs - before.kvm_runs, 3);
	assert_int_equal(stats.other_ioctls - before.other_ioctls, 0);

	/* An atomic call in the same doorbell, after and without safepoint calls. */
	for (uint32_t calls = 0; calls < 2; calls++) {
		bell.atomic_too = true;
		bell.calls = calls;
		start_doorbell(m, GUEST_LABEL(g_doorbell), 5, 0);
		assert_int_equal(machine_run(m), 0);
		machine_get_state(m, &after);
		assert_int_equal(after.regs.rbx, 4711);
		assert_int_equal(bell.errors, 0);
	}
	/* Reasons without a handler. */
	start_doorbell(m, GUEST_LABEL(g_doorbell), 0, 0);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &after);
	assert_int_equal(after.regs.rbx, 0);
	start_doorbell(m, GUEST_LABEL(g_doorbell), 0xffffffff, 0);
	assert_int_equal(machine_run(m), 0);
	machine_get_state(m, &after);
	assert_int_equal((int64_t)after.regs.rbx, -ENOSYS);
}

static void test_doorbell_hangs(void **state)
{
	struct machine *m = *state;
	struct bell bell = {.calls = 2, .want_error = -ETIMEDOUT};

	sym_vm_set_doorbell(m->sym_vm, 5, on_bell, &bell);
	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_spy_pages(m);
	start_doorbell(m, GUEST_LABEL(g_doorbell), 5, 1);
	machine_kick_once(m, 200000);
	assert_int_equal(machine_run_to_exit(m), -EINTR); /* the deadline's kick, or ours */
	assert_int_equal(bell.rings, 1);
	assert_int_equal(bell.errors, 0);
	assert_int_equal(machine_stats(m).abandoned_deadline, 1);
}

static void test_doorbell_limit(void **state)
{
	struct machine *m = *state;

	machine_register(m, GUEST_HIGH_LABEL(h_ping), GS_DATA, 0);
	machine_spy_pages(m);
	start_doorbell(m, GUEST_LABEL(g_doorbells_forever), 0, 0);
	for (int i = 0; i < 500; i++) {
		assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO);
		assert_int_equal(devices_service(m), 0);
	}
	assert_true(machine_stats(m).doorbells >= 64);
}

static void test_interface_off(void **state)
{
	struct machine *m;
	uint64_t sum;

	machine_destroy(*state);
	m = *state = machine_create(0, false);
	machine_start(m, GUEST_LABEL(g_user_return));
	assert_int_equal(machine_run_to_exit(m), KVM_EXIT_IO); /* the embedder's, not ours */
	assert_int_equal(m->run->io.port, PORT_RETURN);
	assert_int_equal(machine_ping(m, 1, 2, &sum), -ENOTCONN);
	machine_start(m, GUEST_LABEL(g_cpuid));
	machine_set_regs(
		m,
		(struct kvm_regs){.rip = GUEST_LABEL(g_cpuid), .rflags = 2, .rax = SYM_CPUID_BASE});
	assert_int_equal(machine_run(m), 0);
}

const struct CMUnitTest page_tests[] = {
	cmocka_unit_test(test_cpuid),
	cmocka_unit_test(test_bad_registrations),
	cmocka_unit_test(test_spy_registration),
	cmocka_unit_test(test_spy_contents),
	cmocka_unit_test(test_spy_over_ram_in_use),
	cmocka_unit_test(test_messages),
	cmocka_unit_test(test_doorbell),
	cmocka_unit_test(test_doorbell_hangs),
	cmocka_unit_test(test_doorbell_limit),
	cmocka_unit_test(test_interface_off),
};
const size_t page_test_count = sizeof(page_tests) / sizeof(page_tests[0]);
