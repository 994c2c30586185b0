/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a call may enter. The VMM's memory and the vCPU's own registers decide. Guest memory is
 * read for one hint only (find_halted()).
 */
#include "internal.h"

#define HLT_OPCODE 0xf4

/* A nested VMX state has up to two pages behind its header (asm/kvm.h, struct
 * kvm_vmx_nested_state_data). */
#define NESTED_DATA_MAX (2 * 4096)

/* The first check, before anything is touched. It needs no ioctl. */
int sym_admit_registration(struct sym_vcpu *vcpu)
{
	int activity = sym_activity(vcpu);

	if ((activity != SYM_IDLE && activity != SYM_IN_DOORBELL) || vcpu->nested) {
		sym_count(vcpu, refused_busy);
		return -EBUSY;
	}
	if (!atomic_load_explicit(&vcpu->enabled, memory_order_relaxed)) {
		sym_count(vcpu, refused_unregistered);
		return -ENOTCONN;
	}
	if (atomic_load_explicit(&vcpu->latched, memory_order_relaxed) || vcpu->dead) {
		sym_count(vcpu, refused_latched);
		return -ENOTRECOVERABLE;
	}
	return 0;
}

/*
 * A registered vCPU that is not in 64-bit mode, or waits for its start, was reset by the guest
 * (INIT, kexec, reboot). KVM does not report this. The handler is gone.
 */
static int refuse_reset(struct sym_vcpu *vcpu)
{
	sym_count(vcpu, refused_mode);
	sym_registration_drop(vcpu);
	return -EAGAIN;
}

/*
 * A vCPU that was kicked out of HLT would continue to sleep in the handler. Asking for its state
 * costs an ioctl, so the library asks only if the vCPU can have executed HLT: at a kick, in kernel
 * mode, with a HLT in front of RIP or code that cannot be read. A guest that rewrites its code
 * meanwhile only causes its own call to time out.
 */
static int find_halted(struct sym_vcpu *vcpu)
{
	const struct sym_saved *saved = &vcpu->saved;
	const struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;
	struct kvm_mp_state state;
	uint8_t opcode;
	int error;

	vcpu->saved.halted = false;
	if (!vcpu->at_kick || sregs->ss.dpl)
		return 0;
	if (!sym_page_walk_read8(vcpu->vm, sregs, saved->regs.rip - 1, &opcode) &&
	    opcode != HLT_OPCODE)
		return 0;
	error = sym_kvm_ioctl(vcpu, KVM_GET_MP_STATE, &state);
	if (error)
		return error;
	if (state.mp_state == KVM_MP_STATE_RUNNABLE)
		return 0;
	if (state.mp_state != KVM_MP_STATE_HALTED)
		return refuse_reset(vcpu);
	vcpu->saved.halted = true;
	return 0;
}

/*
 * Whether the vCPU runs a guest of its own guest: the context is that one's, and no handler is
 * there. KVM says so in kvm_run since Linux 6.11. Before, the library asks for the nested state,
 * but only if the context can be a nested guest's: that has EFER.SVME or CR4.VMXE set (AMD APM 2,
 * 15.5.1, VMRUN's consistency checks; Intel SDM 3C, A.8, CR4's fixed bits). An error is a yes.
 */
static bool in_nested_guest(struct sym_vcpu *vcpu)
{
	const struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;
	struct {
		struct kvm_nested_state state;
		uint8_t data[NESTED_DATA_MAX];
	} nested;

	if (vcpu->vm->guest_mode_shown)
		return vcpu->run->flags & KVM_RUN_X86_GUEST_MODE;
	if (!(sregs->efer & EFER_SVME) && !(sregs->cr4 & CR4_VMXE))
		return false;
	nested.state = (struct kvm_nested_state){.size = sizeof(nested)};
	return sym_kvm_ioctl(vcpu, KVM_GET_NESTED_STATE, &nested) ||
	       nested.state.flags & KVM_STATE_NESTED_GUEST_MODE;
}

/* The second check, on the context that completion left. */
int sym_admit_context(struct sym_vcpu *vcpu)
{
	const struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;
	const struct kvm_vcpu_events *events = &vcpu->saved.events;
	uint64_t rsp = vcpu->saved.regs.rsp;

	if (in_nested_guest(vcpu)) {
		sym_count(vcpu, refused_mode);
		return -EAGAIN;
	}
	if (events->nmi.masked || events->smi.smm || events->triple_fault.pending) {
		sym_count(vcpu, refused_nmi);
		return -EAGAIN;
	}
	if (!(sregs->cr0 & CR0_PG) || !(sregs->efer & EFER_LMA))
		return refuse_reset(vcpu);
	if (sregs->cr4 & (CR4_CET | CR4_FRED)) {
		sym_count(vcpu, refused_unsupported);
		return -EOPNOTSUPP;
	}
	if (!sregs->ss.dpl && rsp >= vcpu->entry.block_start && rsp < vcpu->entry.block_end) {
		sym_count(vcpu, refused_stack);
		return -EAGAIN;
	}
	return find_halted(vcpu);
}
