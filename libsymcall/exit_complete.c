/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Completing an exit before a call. KVM loads changed registers first and completes a pending
 * access afterwards (Documentation/virt/kvm/api.rst, "kvm_run": KVM_EXIT_IO and others need a
 * re-entry). So an access has to be complete before a call may load registers. A read that the
 * embedder has not answered yet is completed with zeros, and exit_answer.c puts the right value in
 * their place later.
 */
#include <string.h>

#include "internal.h"

/* A REP string instruction can cause an exit per item, 1024 before KVM runs the guest. */
#define COMPLETION_EXITS_MAX 8192

_Static_assert(offsetof(struct kvm_run, kvm_valid_regs) - offsetof(struct kvm_run, hw) ==
		       SYM_EXIT_BYTES,
	       "kvm_run's union of exits");

enum sym_exit_kind sym_exit_kind_of(const struct kvm_run *run)
{
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return run->io.direction == KVM_EXIT_IO_IN ? SYM_EXIT_IN : SYM_EXIT_NONE;
	case KVM_EXIT_MMIO:
		return run->mmio.is_write ? SYM_EXIT_NONE : SYM_EXIT_MMIO_READ;
	case KVM_EXIT_X86_RDMSR:
		return SYM_EXIT_RDMSR;
	case KVM_EXIT_X86_WRMSR:
		return SYM_EXIT_WRMSR;
	}
	return SYM_EXIT_NONE;
}

static size_t io_length(const struct kvm_run *run)
{
	return (size_t)run->io.size * run->io.count;
}

/* Answers the read that is in kvm_run, if there is one, with zeros. */
void sym_exit_answer_zero(struct kvm_run *run)
{
	switch (sym_exit_kind_of(run)) {
	case SYM_EXIT_IN:
		memset((uint8_t *)run + run->io.data_offset, 0, io_length(run));
		break;
	case SYM_EXIT_MMIO_READ:
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		break;
	case SYM_EXIT_RDMSR:
		run->msr.data = 0;
		break;
	default:
		break;
	}
}

static void describe(struct sym_vcpu *vcpu)
{
	struct sym_exit *exit = &vcpu->exit;
	const struct kvm_run *run = vcpu->run;

	exit->reason = run->exit_reason;
	memcpy(exit->head, (const uint8_t *)run + SYM_EXIT_HEAD_FIRST, sizeof(exit->head));
	exit->len = run->exit_reason == KVM_EXIT_IO	? sizeof(run->io)
		    : run->exit_reason == KVM_EXIT_MMIO ? sizeof(run->mmio)
							: SYM_EXIT_BYTES;
	memcpy(exit->bytes, &run->hw, exit->len);
	exit->data_len = 0;
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
	    io_length(run) <= SYM_EXIT_DATA_MAX) {
		exit->data_len = (uint32_t)io_length(run);
		memcpy(exit->data, (const uint8_t *)run + run->io.data_offset, exit->data_len);
	}
}

/*
 * Lets kvm_run describe the exit again that it described before the call, with its head: whether
 * interrupts are on, CR8, the APIC base. The handler's runs left their own there.
 */
void sym_exit_restore_run(struct sym_vcpu *vcpu)
{
	struct sym_exit *exit = &vcpu->exit;
	struct kvm_run *run = vcpu->run;

	run->exit_reason = exit->reason;
	memcpy((uint8_t *)run + SYM_EXIT_HEAD_FIRST, exit->head, sizeof(exit->head));
	memcpy(&run->hw, exit->bytes, exit->len);
	if (exit->data_len)
		memcpy((uint8_t *)run + run->io.data_offset, exit->data, exit->data_len);
}

/*
 * Before the completion of the embedder's exit, once per exit. The registers before the
 * instruction cost an ioctl, so they are read only if the instruction may have to be executed
 * again. 0, or the ioctl's negative errno.
 */
int sym_exit_prepare(struct sym_vcpu *vcpu, bool may_fail)
{
	struct sym_exit *exit = &vcpu->exit;
	bool read, again;
	int error;

	if (exit->completed)
		return 0;
	describe(vcpu);
	exit->completed = true;
	exit->discarded = 0;
	exit->has_snapshot = false;
	if (exit->answered)
		return 0;
	read = exit->kind == SYM_EXIT_IN || exit->kind == SYM_EXIT_MMIO_READ;
	again = may_fail && (exit->kind == SYM_EXIT_RDMSR || exit->kind == SYM_EXIT_WRMSR);
	if (read || again) {
		error = sym_kvm_ioctl(vcpu, KVM_GET_REGS, &exit->snapshot);
		if (error) {
			exit->completed = false;
			return error;
		}
		exit->has_snapshot = true;
	}
	sym_exit_answer_zero(vcpu->run);
	return 0;
}

/*
 * Runs the vCPU without executing guest code until nothing is pending. Further exits are served.
 * With `discard` they are answered with zeros and dropped, since they follow from a dummy answer or
 * from a handler that was given up. 0, -EAGAIN beyond COMPLETION_EXITS_MAX, or an error of KVM_RUN
 * or service_exit.
 */
int sym_exit_complete(struct sym_vcpu *vcpu, bool discard)
{
	for (int i = 0; i < COMPLETION_EXITS_MAX; i++) {
		int result = sym_kvm_run_immediate(vcpu);

		if (result == -EINTR)
			return 0;
		if (result)
			return result;
		if (discard) {
			vcpu->exit.discarded++;
			sym_exit_answer_zero(vcpu->run);
			continue;
		}
		result = sym_dispatch_nested_exit(vcpu);
		if (result)
			return result;
	}
	sym_log(vcpu->vm, SYM_LOG_WARN, "vCPU %u: an instruction needs more than %d exits",
		vcpu->id, COMPLETION_EXITS_MAX);
	return -EAGAIN;
}
