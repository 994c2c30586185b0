/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPU's context: saved before a call, replaced for the handler, restored with the next
 * KVM_RUN. All of this goes through the registers that KVM synchronizes in kvm_run, without an
 * ioctl.
 */
#include <string.h>

#include "internal.h"

#define RFLAGS_FIXED 2

/*
 * After completion kvm_run has the context between two instructions. Its segments stay there,
 * since the runs of the handler do not read them back. sym_context_load() copies them if it
 * changes them.
 */
void sym_context_save(struct sym_vcpu *vcpu)
{
	const struct kvm_sync_regs *sync = &vcpu->run->s.regs;

	vcpu->saved.regs = sync->regs;
	vcpu->saved.events = sync->events;
	vcpu->saved.dirty = 0;
}

/* Whether the handler can run with the segments and page tables that are loaded. */
static bool in_kernel_context(const struct sym_vcpu *vcpu)
{
	const struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;
	uint16_t cs = vcpu->entry.segs & 0xffff, ss = (vcpu->entry.segs >> 16) & 0xffff;

	/* After an interrupt from user mode SS is null, which 64-bit mode allows in CPL 0. */
	return !sregs->ss.dpl && sregs->cs.l && sregs->cs.selector == cs &&
	       (sregs->ss.selector == ss || !(sregs->ss.selector & 0xfffc)) &&
	       sregs->gs.base == vcpu->entry.gs_base && !(sregs->cr3 & vcpu->entry.cr3_clear);
}

static void load_sregs(struct sym_vcpu *vcpu)
{
	const struct kvm_segment flat = {
		.limit = 0xffffffff,
		.present = 1,
		.s = 1,
		.g = 1,
	};
	struct kvm_sregs *sregs = &vcpu->run->s.regs.sregs;

	sregs->cs = flat;
	sregs->cs.selector = vcpu->entry.segs & 0xffff;
	sregs->cs.type = 11; /* code, readable, accessed */
	sregs->cs.l = 1;
	sregs->ss = flat;
	sregs->ss.selector = (vcpu->entry.segs >> 16) & 0xffff;
	sregs->ss.type = 3; /* data, writable, accessed */
	sregs->ss.db = 1;
	sregs->gs.base = vcpu->entry.gs_base;
	sregs->cr3 &= ~vcpu->entry.cr3_clear;
}

/* Loads the entry context into kvm_run. KVM takes it at the next KVM_RUN. */
void sym_context_load(struct sym_vcpu *vcpu, const struct sym_call_request *request)
{
	struct kvm_sync_regs *sync = &vcpu->run->s.regs;

	sync->regs = (struct kvm_regs){
		.rax = request->number,
		.rdi = request->args[0],
		.rsi = request->args[1],
		.rdx = request->args[2],
		.r10 = request->args[3],
		.r8 = request->args[4],
		.r9 = vcpu->sequence,
		.rbx = vcpu->spy ? SYM_ENTRY_CONTEXT : 0,
		.rip = vcpu->entry.rip,
		.rsp = vcpu->entry.rsp,
		.rflags = RFLAGS_FIXED,
	};
	sync->events = (struct kvm_vcpu_events){.flags = KVM_VCPUEVENT_VALID_SHADOW};
	sync->events.nmi.masked = 1;
	vcpu->saved.dirty = KVM_SYNC_X86_REGS | KVM_SYNC_X86_EVENTS;
	if (!in_kernel_context(vcpu)) {
		/*
		 * KVM would inject an interrupt of this bitmap into the handler. The saved events
		 * have that interrupt too. KVM only adds bits to the bitmap, so it is cleared here.
		 */
		memset(sync->sregs.interrupt_bitmap, 0, sizeof(sync->sregs.interrupt_bitmap));
		vcpu->saved.sregs = sync->sregs;
		load_sregs(vcpu);
		vcpu->saved.dirty |= KVM_SYNC_X86_SREGS;
	}
	vcpu->run->kvm_dirty_regs = vcpu->saved.dirty;
}

/*
 * Puts the saved context back into kvm_run. KVM takes it at the next KVM_RUN. A pending NMI, SIPI,
 * SMI or INIT stays as KVM has it now: one that came during the call would be lost otherwise. For
 * KVM, `latched_init` = 0 is an order to forget an INIT.
 */
void sym_context_restore(struct sym_vcpu *vcpu)
{
	struct kvm_sync_regs *sync = &vcpu->run->s.regs;

	sync->regs = vcpu->saved.regs;
	if (vcpu->saved.dirty & KVM_SYNC_X86_SREGS)
		sync->sregs = vcpu->saved.sregs;
	sync->events = vcpu->saved.events;
	sync->events.flags &= ~(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
				KVM_VCPUEVENT_VALID_SMM);
	vcpu->run->kvm_dirty_regs = vcpu->saved.dirty;
}
