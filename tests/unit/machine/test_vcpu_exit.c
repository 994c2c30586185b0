// SPDX-License-Identifier: BSD-2-Clause
/* The exits that end a guest, and the exits that reset it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <symbiotic/symcall.h>

#include "machine/boot.h"
#include "machine/host_guard.h"
#include "machine/vm.h"

static int ended;
static unsigned resets;
static bool announced;

void vm_end(struct vm *vm, enum vm_end reason)
{
	ended = reason;
	atomic_store(&vm->end, (int)reason);
}

void vm_request_reset(struct vm *vm)
{
	resets++;
	atomic_store(&vm->reset_requested, true);
}

bool boot_reset_announced(struct vm *vm)
{
	return announced;
}

bool vcpu_must_stop(struct vcpu *vcpu)
{
	return atomic_load(&vcpu->vm->end) != VM_END_NONE ||
	       atomic_load(&vcpu->vm->reset_requested);
}

bool bus_dispatch(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write)
{
	return false;
}

int sym_vcpu_answer_fault(struct sym_vcpu *vcpu)
{
	return -EINVAL;
}

int sym_vcpu_answer(struct sym_vcpu *vcpu, const void *data, size_t length)
{
	return -EINVAL;
}

/* One exit of a new VM. */
static int serve(enum vm_triple_fault how, struct kvm_run *run, char *log, size_t size)
{
	struct vm vm = {.config.on_triple_fault = how};
	struct vcpu vcpu = {.vm = &vm, .id = 1};
	int pipe_fds[2], status;
	ssize_t got;

	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	log_init(&vm.log, pipe_fds[1], LOG_LEVEL_WARN);
	atomic_store(&vm.end, VM_END_NONE);
	ended = VM_END_NONE;
	resets = 0;
	status = vcpu_service_exit(&vcpu, run);
	got = read(pipe_fds[0], log, size - 1);
	log[got > 0 ? got : 0] = '\0';
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return status;
}

static void triple_fault(enum vm_triple_fault how, bool was_announced, bool reboots)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_SHUTDOWN};
	char log[1024];

	announced = was_announced;
	assert_int_equal(serve(how, &run, log, sizeof(log)), -ESHUTDOWN);
	assert_int_equal(resets, reboots);
	assert_int_equal(ended, reboots ? VM_END_NONE : VM_END_CRASH);
	assert_true(!!strstr(log, "triple fault") == !reboots);
	/* The remedy, if there is one. */
	assert_true(!!strstr(log, "--on-triple-fault reset") ==
		    (!reboots && how == VM_TRIPLE_FAULT_ANNOUNCED));
}

static void a_triple_fault_is_what_was_said(void **state)
{
	triple_fault(VM_TRIPLE_FAULT_ANNOUNCED, false, false);
	triple_fault(VM_TRIPLE_FAULT_ANNOUNCED, true, true);
	triple_fault(VM_TRIPLE_FAULT_RESET, false, true);
	triple_fault(VM_TRIPLE_FAULT_RESET, true, true);
	triple_fault(VM_TRIPLE_FAULT_CRASH, false, false);
	triple_fault(VM_TRIPLE_FAULT_CRASH, true, false);
}

static void new_exits_have_names_and_continue(void **state)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_NOTIFY};
	char log[1024];

	assert_int_equal(serve(0, &run, log, sizeof(log)), 0);
	assert_int_equal(ended, VM_END_NONE);
	run.notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
	assert_int_equal(serve(0, &run, log, sizeof(log)), -ESHUTDOWN);
	assert_int_equal(ended, VM_END_CRASH);
	assert_non_null(strstr(log, "events"));
	run = (struct kvm_run){.exit_reason = KVM_EXIT_X86_BUS_LOCK};
	assert_int_equal(serve(0, &run, log, sizeof(log)), 0);
	assert_int_equal(ended, VM_END_NONE);
	assert_string_equal(vcpu_exit_name(KVM_EXIT_NOTIFY), "notify");
	assert_string_equal(vcpu_exit_name(KVM_EXIT_X86_BUS_LOCK), "bus_lock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_triple_fault_is_what_was_said),
		cmocka_unit_test(new_exits_have_names_and_continue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
