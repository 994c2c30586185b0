/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases that a real KVM in the lab cannot cause, and arithmetic, on a vCPU without KVM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_kvm.h"

struct fixture {
	struct fake_kvm *fake;
	struct sym_vm *vm;
	struct sym_vcpu *vcpu;
	unsigned int serviced;
	int service_result;
	bool forever;	 /* the handler never returns */
	bool takes_note; /* except when it learns that it was given up */
	unsigned int told;
	int run_error;		 /* error of the handler's KVM_RUN */
	unsigned int more_exits; /* of the completing run */
	bool head_changes;	 /* the handler's runs write kvm_run's head */
	struct kvm_regs entered;
	struct kvm_vcpu_events entered_events;
};

static int service_exit(void *opaque, struct kvm_run *run)
{
	struct fixture *f = opaque;

	f->serviced++;
	return f->service_result;
}

static const struct sym_ops ops = {.translate = fake_translate, .service_exit = service_exit};

/* Completion, then the handler's return. */
static int next(struct fake_kvm *fake, bool immediate)
{
	struct fixture *f = fake->opaque;

	if (immediate) {
		if (!f->more_exits)
			return -EINTR;
		f->more_exits--;
		return fake_exit_io(fake, false, 0x80, 1, 1);
	}
	if (f->head_changes) {
		fake->run->ready_for_interrupt_injection = fake->run->if_flag = 0;
		fake->run->flags = 0;
		fake->run->cr8 = fake->run->apic_base = 0;
	}
	f->entered = fake->regs;
	f->entered_events = fake->events;
	if (f->run_error)
		return f->run_error;
	f->told += !!(fake->regs.rbx & SYM_ENTRY_ABANDONED);
	if (f->forever && !(f->takes_note && fake->regs.rbx & SYM_ENTRY_ABANDONED))
		return -EINTR;
	fake->regs.rax = 42;
	fake->regs.rip += 20;
	return fake_exit_io(fake, false, SYM_PORT_BASE, 1, 1);
}

static bool old_host; /* set_up() makes a host before Linux 6.11 */

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct sym_vm_config config = {.size = sizeof(config),
					     .ops = &ops,
					     .name = "unit",
					     .features = SYM_FEATURES_ALL,
					     .deadline_us = 2000,
					     .doorbells_per_sec = 100};

	if (!f)
		return -1;
	f->fake = fake_kvm_create();
	f->fake->guest_mode_hidden = old_host;
	f->fake->next = next;
	f->fake->opaque = f;
	f->vm = sym_vm_create(&config);
	f->vcpu = sym_vcpu_create(f->vm, 3, f->fake->run, 0, f);
	*state = f;
	return f->vm && f->vcpu ? fake_register(f->fake, f->vcpu) : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sym_vcpu_destroy(f->vcpu);
	sym_vm_destroy(f->vm);
	fake_kvm_destroy(f->fake);
	free(f);
	return 0;
}

static int call(struct fixture *f)
{
	const struct sym_call_request request = {.number = SYM_CALL_PING};
	struct sym_call_result result = {0};
	int error = sym_call(f->vcpu, &request, &result);

	if (!error)
		assert_int_equal(result.value, 42);
	return error;
}

/* As if the next KVM_RUN had loaded what the call left in kvm_run. */
static void load_restored(struct fixture *f)
{
	f->fake->regs = f->fake->run->s.regs.regs;
	f->fake->sregs = f->fake->run->s.regs.sregs;
	f->fake->events = f->fake->run->s.regs.events;
}

static struct sym_vcpu_stats stats(struct fixture *f)
{
	struct sym_vcpu_stats out;

	sym_vcpu_get_stats(f->vcpu, &out);
	return out;
}

static void test_config(void **state)
{
	const struct sym_ops half = {.translate = fake_translate};
	struct sym_vm_config config = {.size = sizeof(config), .ops = &ops};
	struct sym_vm *vm;

	config.features = 1u << 31;
	assert_null(sym_vm_create(&config));
	assert_int_equal(errno, EINVAL);
	config.features = 0;
	config.size--;
	assert_null(sym_vm_create(&config));
	config.size++;
	config.ops = &half;
	assert_null(sym_vm_create(&config));
	config.ops = &ops;
	vm = sym_vm_create(&config);
	assert_non_null(vm);
	sym_vm_destroy(vm);
}

static void test_cpuid(void **state)
{
	struct fixture *f = *state;
	struct {
		struct kvm_cpuid2 cpuid;
		struct kvm_cpuid_entry2 entries[8];
	} list = {0};

	list.cpuid.nent = 6;
	assert_int_equal(sym_vm_cpuid_extend(f->vm, &list.cpuid, 8), -ENOSPC);
	assert_int_equal(list.cpuid.nent, 6);
	list.cpuid.nent = 5;
	assert_int_equal(sym_vm_cpuid_extend(f->vm, &list.cpuid, 8), 0);
	assert_int_equal(list.cpuid.nent, 8);
	assert_int_equal(list.cpuid.entries[6].function, SYM_CPUID_INTERFACE);
	assert_int_equal(list.cpuid.entries[6].edx, SYM_FEATURES_ALL);
	assert_int_equal(list.cpuid.entries[7].eax, 2000);
	assert_int_equal(sym_vm_cpuid_extend(f->vm, &list.cpuid, 20), -EEXIST);
}

/* Other interfaces have blocks of their own: KVM with Hyper-V's enlightenments, and as many as
 * there can be. */
static void test_cpuid_block(void **state)
{
	struct fixture *f = *state;
	enum { BLOCKS = (SYM_CPUID_LAST - SYM_CPUID_BASE) / SYM_CPUID_STEP + 1, ROOM = BLOCKS + 3 };
	struct kvm_cpuid2 *cpuid = calloc(1,
					  sizeof(*cpuid) + ROOM * sizeof(struct kvm_cpuid_entry2));
	const struct kvm_cpuid_entry2 *ours;

	assert_non_null(cpuid);
	for (uint32_t used = 0; used < BLOCKS; used++) {
		cpuid->nent = 0;
		/* The last leaf of a block makes it used, too; and the order of entries is free. */
		for (uint32_t i = used; i > 0; i--)
			cpuid->entries[cpuid->nent++].function = SYM_CPUID_BASE +
								 (i - 1) * SYM_CPUID_STEP +
								 (i % 2 ? 0 : 0xff);
		assert_int_equal(sym_vm_cpuid_extend(f->vm, cpuid, ROOM), 0);
		assert_int_equal(cpuid->nent, used + 3);
		ours = &cpuid->entries[used];
		assert_int_equal(ours[0].function, SYM_CPUID_BASE + used * SYM_CPUID_STEP);
		assert_int_equal(ours[0].eax, ours[0].function + 2);
		assert_int_equal(ours[0].ebx, SYM_SIGNATURE_EBX);
		assert_int_equal(ours[1].function, ours[0].function + 1);
		assert_int_equal(ours[2].function, ours[0].function + 2);
		assert_int_equal(sym_vm_cpuid_extend(f->vm, cpuid, ROOM), -EEXIST);
		memset(cpuid->entries, 0, ROOM * sizeof(cpuid->entries[0]));
	}
	for (cpuid->nent = 0; cpuid->nent < BLOCKS; cpuid->nent++)
		cpuid->entries[cpuid->nent].function = SYM_CPUID_BASE +
						       cpuid->nent * SYM_CPUID_STEP;
	assert_int_equal(sym_vm_cpuid_extend(f->vm, cpuid, ROOM), -EEXIST);
	assert_int_equal(cpuid->nent, (uint32_t)BLOCKS);
	free(cpuid);
}

/* QEMU reads these fields after each exit. The handler's runs have others. */
static void test_head_fields(void **state)
{
	struct fixture *f = *state;
	struct kvm_run *run = f->fake->run;

	for (int calls = 1; calls <= 2; calls++) {
		sym_vcpu_run_begin(f->vcpu);
		fake_exit_io(f->fake, false, 0x3f8, 1, 1);
		run->ready_for_interrupt_injection = 1;
		run->if_flag = 1;
		run->flags = 1;
		run->cr8 = 7;
		run->apic_base = 0xfee00900;
		sym_vcpu_handle_exit(f->vcpu, 0);
		f->head_changes = true;
		for (int i = 0; i < calls; i++)
			assert_int_equal(call(f), 0);
		assert_int_equal(run->exit_reason, KVM_EXIT_IO);
		assert_int_equal(run->ready_for_interrupt_injection, 1);
		assert_int_equal(run->if_flag, 1);
		assert_int_equal(run->flags, 1);
		assert_int_equal(run->cr8, 7);
		assert_true(run->apic_base == 0xfee00900);
		load_restored(f);
	}
}

static void test_nested_guest(void **state)
{
	struct fixture *f = *state;

	f->fake->sregs.efer |= 1 << 12;
	f->fake->run->flags = 1 << 2; /* KVM_RUN_X86_GUEST_MODE */
	assert_int_equal(call(f), -EAGAIN);
	assert_int_equal(stats(f).refused_mode, 1);
	f->fake->run->flags = 0;
	assert_int_equal(call(f), 0);
	assert_int_equal(f->fake->get_nested_state, 0);
}

/* A host that does not show it in kvm_run is asked, if the context can be a nested guest's. */
static void test_nested_guest_old_host(void **state)
{
	struct fixture *f = *state;

	tear_down(state);
	old_host = true;
	assert_int_equal(set_up(state), 0);
	old_host = false;
	f = *state;
	f->fake->in_nested_guest = true;
	assert_int_equal(call(f), 0);
	assert_int_equal(f->fake->get_nested_state, 0);
	for (int vendor = 0; vendor < 2; vendor++) {
		f->fake->in_nested_guest = true;
		f->fake->sregs.efer = 0x500 | (vendor ? 0 : 1 << 12); /* SVME */
		f->fake->sregs.cr4 = 0x20 | (vendor ? 1 << 13 : 0);   /* VMXE */
		assert_int_equal(call(f), -EAGAIN);
		f->fake->in_nested_guest = false;
		assert_int_equal(call(f), 0);
		f->fake->fail_request = KVM_GET_NESTED_STATE;
		assert_int_equal(call(f), -EAGAIN);
		f->fake->fail_request = 0;
	}
	assert_int_equal(stats(f).refused_mode, 4);
	assert_int_equal(f->fake->get_nested_state, 4);
}

static void test_call_restores(void **state)
{
	struct fixture *f = *state;
	struct kvm_regs before = f->fake->regs;
	struct kvm_run *run = f->fake->run;

	f->fake->events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
				KVM_VCPUEVENT_VALID_SMM | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	f->fake->events.interrupt.injected = 1;
	f->fake->events.interrupt.nr = 0x33;
	run->kvm_valid_regs = KVM_SYNC_X86_EVENTS; /* the embedder's own wish */
	assert_int_equal(call(f), 0);
	assert_true(f->entered.rip == FAKE_HIGH + FAKE_CODE);
	assert_true(f->entered.rsp == FAKE_HIGH + FAKE_STACK);
	assert_int_equal(f->entered.rflags, 2);
	assert_int_equal(f->entered_events.interrupt.injected, 0);
	assert_int_equal(f->entered_events.nmi.masked, 1);
	assert_int_equal(run->kvm_valid_regs, KVM_SYNC_X86_EVENTS);
	assert_memory_equal(&run->s.regs.regs, &before, sizeof(before));
	assert_int_equal(run->kvm_dirty_regs, KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS);
	assert_int_equal(run->s.regs.events.flags, KVM_VCPUEVENT_VALID_SHADOW);
	assert_int_equal(run->s.regs.events.interrupt.nr, 0x33);
	/* The library reads the segments once for the return, and read them once at the
	 * registration. */
	assert_int_equal(f->fake->get_sregs, 2);
	assert_int_equal(call(f), 0);
	assert_int_equal(f->fake->get_sregs, 2);
	assert_int_equal(f->fake->get_mp_state, 0);
}

static void test_stale_dirty_registers(void **state)
{
	struct fixture *f = *state;

	f->fake->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	sym_vcpu_handle_exit(f->vcpu, -EINTR);
	assert_int_equal(f->fake->run->kvm_dirty_regs, 0);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct kvm_regs before = f->fake->regs;

	f->forever = true;
	assert_int_equal(call(f), -ETIMEDOUT);
	assert_memory_equal(&f->fake->run->s.regs.regs, &before, sizeof(before));
	assert_int_equal(stats(f).abandoned_deadline, 1);
	assert_false(sym_vcpu_overdue(f->vcpu));
	f->forever = false;
	assert_int_equal(call(f), -ENOTRECOVERABLE);
	/* The kicks were the embedder's too. */
	assert_int_equal(sym_vcpu_run_begin(f->vcpu), -EINTR);
	assert_int_equal(sym_vcpu_run_begin(f->vcpu), 0);
	load_restored(f);
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 0), 0);
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), 0);
	assert_int_equal(call(f), 0);
}

/* The library tells the guest once, in the interrupted context, and only if the guest wants it. */
static void test_told_of_deadline(void **state)
{
	const uint64_t version = (uint64_t)SYM_ABI_VERSION << 32;
	struct fixture *f = *state;
	struct kvm_regs before = f->fake->regs;

	f->forever = true;
	f->takes_note = true;
	assert_int_equal(call(f), -ETIMEDOUT);
	assert_int_equal(f->told, 1);
	assert_int_equal(f->entered.rax, 0);
	assert_int_equal(f->entered.rflags, 2);
	assert_true(f->entered_events.nmi.masked);
	assert_memory_equal(&f->fake->run->s.regs.regs, &before, sizeof(before));
	assert_int_equal(f->fake->run->kvm_dirty_regs, KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS);
	assert_int_equal(stats(f).calls, 1);
	assert_int_equal(stats(f).abandoned_deadline, 1);
	load_restored(f);
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 0), 0);
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_GUEST,
				    version | (SYM_FEATURES_ALL & ~SYM_FEATURE_ABANDON)),
			 0);
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), 0);
	assert_int_equal(call(f), -ETIMEDOUT);
	assert_int_equal(f->told, 1);
}

static void test_run_fails(void **state)
{
	struct fixture *f = *state;

	f->run_error = -ENOMEM;
	assert_int_equal(call(f), -ENOMEM);
	assert_int_equal(stats(f).abandoned_stop, 1);
	assert_int_equal(f->fake->run->kvm_dirty_regs, KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS);
}

static void test_more_exits_in_completion(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = (uint8_t *)f->fake->run + FAKE_IO_DATA;

	fake_exit_io(f->fake, false, 0x99, 1, 1);
	*data = 0x5c;
	assert_int_equal(sym_vcpu_handle_exit(f->vcpu, 0), 0);
	f->more_exits = 5;
	assert_int_equal(call(f), 0);
	assert_int_equal(f->serviced, 5);
	/* kvm_run describes the embedder's exit as before. */
	assert_int_equal(f->fake->run->io.port, 0x99);
	assert_int_equal(*data, 0x5c);
	/* The VMM stops in one of them: the library does not enter the guest. */
	f->more_exits = 1;
	f->service_result = -ECANCELED;
	assert_int_equal(call(f), -ECANCELED);
	assert_int_equal(stats(f).calls, 1);
	/* An instruction that never ends. */
	f->service_result = 0;
	f->more_exits = 1000000;
	assert_int_equal(call(f), -EAGAIN);
}

static void test_unsupported_guests(void **state)
{
	struct fixture *f = *state;
	const uint64_t bits[] = {1ull << 23, 1ull << 32};

	for (int i = 0; i < 2; i++) {
		f->fake->sregs.cr4 = 0x20 | bits[i];
		assert_int_equal(call(f), -EOPNOTSUPP);
	}
	f->fake->sregs.cr4 = 0x20;
	assert_int_equal(stats(f).refused_unsupported, 2);
	f->fake->events.smi.smm = 1;
	assert_int_equal(call(f), -EAGAIN);
	f->fake->events.smi.smm = 0;
	f->fake->run->flags = 1 << 2; /* KVM_RUN_X86_GUEST_MODE */
	assert_int_equal(call(f), -EAGAIN);
	f->fake->run->flags = 0;
	assert_int_equal(call(f), 0);
}

static void test_halted_is_asked_rarely(void **state)
{
	struct fixture *f = *state;

	sym_vcpu_handle_exit(f->vcpu, -EINTR);
	assert_int_equal(call(f), 0);
	assert_int_equal(f->fake->get_mp_state, 0);
	load_restored(f);
	f->fake->ram[f->fake->regs.rip - 1 - FAKE_HIGH] = 0xf4;
	f->fake->mp_state.mp_state = KVM_MP_STATE_HALTED;
	assert_int_equal(call(f), 0);
	assert_int_equal(f->fake->get_mp_state, 1);
	assert_int_equal(f->fake->set_mp_state, 2);
	assert_int_equal(f->fake->mp_state.mp_state, KVM_MP_STATE_HALTED);
	/* In user mode there is no HLT. */
	load_restored(f);
	f->fake->sregs.ss.dpl = 3;
	call(f);
	assert_int_equal(f->fake->get_mp_state, 1);
}

static void test_waiting_for_startup(void **state)
{
	struct fixture *f = *state;

	sym_vcpu_handle_exit(f->vcpu, -EINTR);
	f->fake->ram[f->fake->regs.rip - 1 - FAKE_HIGH] = 0xf4;
	f->fake->mp_state.mp_state = KVM_MP_STATE_INIT_RECEIVED;
	assert_int_equal(call(f), -EAGAIN);
	assert_false(sym_vcpu_enabled(f->vcpu));
	assert_int_equal(call(f), -ENOTCONN);
}

static void test_kick_in_library(void **state)
{
	struct fixture *f = *state;

	f->fake->run->immediate_exit = 1;
	assert_int_equal(call(f), 0);
	assert_int_equal(f->fake->run->immediate_exit, 0);
	assert_int_equal(sym_vcpu_run_begin(f->vcpu), -EINTR);
}

static void ring(struct fixture *f)
{
	struct sym_spy_vcpu *spy = (void *)(f->fake->ram + FAKE_SPY_VCPU);

	spy->doorbell.cookie = spy->host.cookie;
	spy->doorbell.state = SYM_DOORBELL_STATE_RUNG;
	fake_exit_io(f->fake, false, SYM_PORT_BASE + SYM_PORT_DOORBELL, 1, 1);
	assert_int_equal(sym_vcpu_handle_exit(f->vcpu, 0), 1);
}

static void test_doorbell_rate(void **state)
{
	struct fixture *f = *state;
	struct sym_spy_vcpu *spy = (void *)(f->fake->ram + FAKE_SPY_VCPU);

	/* 100 a second, 64 at once: 2000 in no time are too many. */
	for (int i = 0; i < 2000; i++)
		ring(f);
	assert_in_range(stats(f).doorbells, 64, 1000);
	assert_int_equal(stats(f).doorbells + stats(f).doorbells_limited, 2000);
	assert_int_equal((int64_t)spy->doorbell.verdict, -EAGAIN);
	assert_int_equal(spy->doorbell.state, SYM_DOORBELL_STATE_VERDICT);
	/* The library ignores a doorbell with a wrong cookie. */
	spy->doorbell.state = SYM_DOORBELL_STATE_RUNG;
	spy->doorbell.cookie++;
	fake_exit_io(f->fake, false, SYM_PORT_BASE + SYM_PORT_DOORBELL, 1, 1);
	assert_int_equal(sym_vcpu_handle_exit(f->vcpu, 0), 1);
	assert_int_equal(spy->doorbell.state, SYM_DOORBELL_STATE_RUNG);
	assert_int_equal(stats(f).doorbells_forged, 1);
}

static void test_user_entry_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t *pte = (uint64_t *)(f->fake->ram + 0x5000 + FAKE_CODE / 4096 * 8);
	uint64_t *tables[] = {(uint64_t *)(f->fake->ram + 0x4000),
			      (uint64_t *)(f->fake->ram + 0x3000 + 510 * 8),
			      (uint64_t *)(f->fake->ram + FAKE_PML4 + 511 * 8)};

	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 0), 0);
	*pte |= 1ull << 63;
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), -EACCES);
	*pte &= ~(1ull << 63);
	*pte |= 4;
	/* User only if each level says so. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), 0);
		assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 0), 0);
		*tables[i] |= 4;
	}
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), -EACCES);
	/* A table outside of RAM. */
	*tables[0] = 0x7fffffff003;
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), -EFAULT);
	f->fake->fail_request = KVM_GET_SREGS;
	assert_int_equal(fake_wrmsr(f->fake, f->vcpu, SYM_MSR_CONTROL, 1), -EIO);
}

static void test_settle(void **state)
{
	struct fixture *f = *state;
	struct kvm_regs before = f->fake->regs;

	assert_int_equal(call(f), 0);
	assert_memory_not_equal(&f->fake->regs, &before, sizeof(before));
	assert_int_equal(sym_vcpu_settle(f->vcpu), 0);
	assert_memory_equal(&f->fake->regs, &before, sizeof(before));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config),
		TEST(test_cpuid),
		TEST(test_cpuid_block),
		TEST(test_head_fields),
		TEST(test_nested_guest),
		TEST(test_nested_guest_old_host),
		TEST(test_call_restores),
		TEST(test_stale_dirty_registers),
		TEST(test_deadline),
		TEST(test_told_of_deadline),
		TEST(test_run_fails),
		TEST(test_more_exits_in_completion),
		TEST(test_unsupported_guests),
		TEST(test_halted_is_asked_rarely),
		TEST(test_waiting_for_startup),
		TEST(test_kick_in_library),
		TEST(test_doorbell_rate),
		TEST(test_user_entry_refused),
		TEST(test_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
