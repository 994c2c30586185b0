/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answering the embedder's exit, before or after calls. After a call the instruction is complete,
 * with zeros. The result of IN and RDMSR is then replaced in the registers. The result of an MMIO
 * read or INS may be anywhere, so the instruction is executed again, which brings the same exit. A
 * late #GP needs that, too.
 */
#include <string.h>

#include "internal.h"

#define REEXECUTE_EXITS_MAX 256
#define RFLAGS_TF	    (1ull << 8)
#define RFLAGS_IF	    (1ull << 9)

/* Into kvm_run, for the exit that it describes. -EINVAL: not a read, or not of that size. */
static int answer_in_place(struct kvm_run *run, const void *data, size_t len)
{
	switch (sym_exit_kind_of(run)) {
	case SYM_EXIT_IN:
		if (len != (size_t)run->io.size * run->io.count)
			return -EINVAL;
		memcpy((uint8_t *)run + run->io.data_offset, data, len);
		return 0;
	case SYM_EXIT_MMIO_READ:
		if (len != run->mmio.len || len > sizeof(run->mmio.data))
			return -EINVAL;
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
		memcpy(run->mmio.data, data, len);
		return 0;
	case SYM_EXIT_RDMSR:
		if (len != sizeof(run->msr.data))
			return -EINVAL;
		memcpy(&run->msr.data, data, len);
		run->msr.error = 0;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Whether kvm_run has the exit of `exit` again. */
static bool same_exit(const struct sym_exit *exit, const struct kvm_run *run)
{
	struct kvm_run was;

	if (run->exit_reason != exit->reason)
		return false;
	memcpy(&was.hw, exit->bytes, exit->len);
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return run->io.direction == was.io.direction && run->io.port == was.io.port &&
		       run->io.size == was.io.size && run->io.count == was.io.count;
	case KVM_EXIT_MMIO:
		return run->mmio.is_write == was.mmio.is_write &&
		       run->mmio.phys_addr == was.mmio.phys_addr && run->mmio.len == was.mmio.len;
	default:
		return run->msr.index == was.msr.index;
	}
}

/* Runs until the instruction exits as before. No interrupt or NMI may come in between. */
static int run_to_same_exit(struct sym_vcpu *vcpu)
{
	uint64_t deadline = sym_deadline_start(vcpu, vcpu->vm->deadline_us);
	int result = -EIO;

	for (int i = 0; i < REEXECUTE_EXITS_MAX; i++) {
		int run_result = sym_kvm_run(vcpu, 0);

		if (!run_result && same_exit(&vcpu->exit, vcpu->run)) {
			result = 0;
			break;
		}
		if (!run_result)
			run_result = sym_dispatch_nested_exit(vcpu);
		if (run_result && run_result != -EINTR) {
			result = run_result;
			break;
		}
		if (sym_now_ns() >= deadline)
			break;
	}
	sym_deadline_stop(vcpu);
	return result;
}

/*
 * Goes back before the instruction and executes it again. Afterwards its exit is pending as if no
 * call had been made, and the saved events are restored with its completion.
 */
static int reexecute(struct sym_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct sym_saved *saved = &vcpu->saved;
	struct kvm_vcpu_events *events = &run->s.regs.events;
	uint32_t valid_regs = run->kvm_valid_regs;
	int activity = sym_activity_set(vcpu, SYM_IN_CALL);
	int error;

	sym_count(vcpu, reexecuted);
	run->s.regs.regs = vcpu->exit.snapshot;
	*events = (struct kvm_vcpu_events){.flags = KVM_VCPUEVENT_VALID_SHADOW};
	/* VM entry checks the shadow, too: no STI shadow if IF is clear, none with TF. */
	if ((vcpu->exit.snapshot.rflags & (RFLAGS_IF | RFLAGS_TF)) == RFLAGS_IF)
		events->interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	events->nmi.masked = 1;
	run->kvm_dirty_regs |= KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS;
	error = run_to_same_exit(vcpu);

	*events = saved->events;
	events->flags &= ~KVM_VCPUEVENT_VALID_NMI_PENDING;
	run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
	run->kvm_valid_regs = valid_regs;
	sym_activity_set(vcpu, activity);
	vcpu->exit.completed = false;
	if (error)
		sym_log(vcpu->vm, SYM_LOG_WARN,
			"vCPU %u: no exit of the instruction executed again (errno %d)", vcpu->id,
			-error);
	return error;
}

/* Patches the registers that KVM loads at the next run. */
static void answer_registers(struct sym_vcpu *vcpu, const void *data, size_t len)
{
	struct kvm_regs *regs = &vcpu->run->s.regs.regs;
	uint64_t value = 0;

	memcpy(&value, data, len);
	switch (len) {
	case 1:
		regs->rax = (regs->rax & ~0xffull) | value;
		break;
	case 2:
		regs->rax = (regs->rax & ~0xffffull) | value;
		break;
	case 4: /* 32-bit results clear the upper half */
		regs->rax = value;
		break;
	default: /* RDMSR */
		regs->rax = (uint32_t)value;
		regs->rdx = value >> 32;
		break;
	}
	vcpu->saved.regs = *regs;
	vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

/* INS moves RDI, IN leaves it. */
static bool was_plain_in(const struct sym_vcpu *vcpu)
{
	return vcpu->run->io.count == 1 && vcpu->exit.snapshot.rdi == vcpu->saved.regs.rdi;
}

static int answer_after_call(struct sym_vcpu *vcpu, const void *data, size_t len)
{
	struct sym_exit *exit = &vcpu->exit;
	int error;

	if (exit->kind == SYM_EXIT_RDMSR || (exit->kind == SYM_EXIT_IN && was_plain_in(vcpu))) {
		answer_registers(vcpu, data, len);
		return 0;
	}
	error = reexecute(vcpu);
	return error ? error : answer_in_place(vcpu->run, data, len);
}

int sym_vcpu_answer(struct sym_vcpu *vcpu, const void *data, size_t len)
{
	struct sym_exit *exit = &vcpu->exit;
	uint8_t probe[sizeof(uint64_t)];
	int error;

	if (vcpu->nested)
		return answer_in_place(vcpu->run, data, len);
	if (exit->kind == SYM_EXIT_NONE || exit->kind == SYM_EXIT_WRMSR)
		return -EINVAL;
	if (!exit->completed) {
		error = answer_in_place(vcpu->run, data, len);
	} else if (exit->answered) {
		return -EINVAL;
	} else if (exit->kind == SYM_EXIT_IN) {
		error = len == (size_t)vcpu->run->io.size * vcpu->run->io.count
				? answer_after_call(vcpu, data, len)
				: -EINVAL;
	} else {
		error = len > sizeof(probe) ? -EINVAL : answer_in_place(vcpu->run, data, len);
		if (!error)
			error = answer_after_call(vcpu, data, len);
	}
	if (!error)
		exit->answered = true;
	return error;
}

int sym_vcpu_answer_fault(struct sym_vcpu *vcpu)
{
	struct sym_exit *exit = &vcpu->exit;
	enum sym_exit_kind kind = vcpu->nested ? sym_exit_kind_of(vcpu->run) : exit->kind;
	int error;

	if (kind != SYM_EXIT_RDMSR && kind != SYM_EXIT_WRMSR)
		return -EINVAL;
	if (!vcpu->nested && exit->completed) {
		if (exit->answered || !exit->has_snapshot)
			return -EINVAL;
		error = reexecute(vcpu);
		if (error)
			return error;
	}
	vcpu->run->msr.error = 1;
	if (!vcpu->nested)
		exit->answered = true;
	return 0;
}

/*
 * The embedder is done with its exit. If it gave no answer, but exits that followed from the dummy
 * answer were dropped, then zeros become the real answer.
 */
int sym_exit_end(struct sym_vcpu *vcpu)
{
	static const uint8_t zeros[SYM_EXIT_DATA_MAX];
	struct sym_exit *exit = &vcpu->exit;
	struct kvm_run *run = vcpu->run;
	int error = 0;

	if (exit->completed && exit->discarded && !exit->answered &&
	    (exit->kind == SYM_EXIT_IN || exit->kind == SYM_EXIT_MMIO_READ)) {
		size_t len = exit->kind == SYM_EXIT_IN ? (size_t)run->io.size * run->io.count
						       : run->mmio.len;

		if (len <= sizeof(zeros))
			error = sym_vcpu_answer(vcpu, zeros, len);
	}
	exit->kind = SYM_EXIT_NONE;
	exit->answered = false;
	exit->completed = false;
	exit->discarded = 0;
	return error;
}
