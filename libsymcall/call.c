/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An atomic call: in the middle of handling an exit, the VMM lets the guest's kernel run a
 * registered handler on the vCPU of that exit.
 *
 *             sym_call()
 *                 |
 *          registration? ---- no --------> refused, nothing was touched
 *                 | yes
 *                 v
 *            COMPLETING ----- error ----------------------------+
 *                 | the instruction is complete                 |
 *                 v                                             |
 *             context? ------ no -------------------------------+
 *                 | yes: the context is saved                   |
 *                 v                                             |
 *     +------> RUNNING ------ deadline, fault, stop --+         |
 *     | exit      | OUT to the return port            v         |
 *     +--served---+                                GIVEN UP     |
 *                 v                                   |         |
 *             RETURNED                                |         |
 *                 |                                   |         |
 *                 +------> RESTORED <-----------------+         |
 *                             |                                 v
 *                             +----> kvm_run describes the embedder's exit again
 *
 * Registration (admission.c). The guest must have registered this vCPU, its calls must not be
 * latched, and no other call may be active on it. This check needs no ioctl.
 *
 * Completing (exit_complete.c). An exit can leave an instruction half done, and KVM finishes it at
 * the next KVM_RUN, after it has loaded changed registers. So the call finishes it first, by runs
 * with immediate_exit. Further exits of that instruction are served, at most 8192 (then -EAGAIN). A
 * read that the embedder has not answered gets zeros, and sym_vcpu_answer() later puts the real
 * value in their place (exit_answer.c). Exits that follow from these zeros are dropped. The exit is
 * completed once, however many calls the embedder makes in it.
 *
 * Context (admission.c, context.c). Now kvm_run has the registers, segments and events between two
 * instructions. They decide whether a call may enter here, for instance not in an NMI. The call
 * saves registers and events, and segments and CR3 only if the handler needs others. It does not
 * save state that KVM does not synchronize in kvm_run, such as the FPU: a handler must not change
 * it. Pending NMIs, SMIs, INITs and SIPIs stay as KVM has them, so that none is lost.
 *
 * Running. The entry context is loaded, with a new sequence number in R9 and NMIs masked. The
 * handler returns by a one-byte OUT to the return port, with that number, at CPL 0. Any other
 * OUT to that port is counted and ignored. The interface's own MSRs and ports are served here, and
 * sym_ops.service_exit serves every other exit of the handler. No call can begin meanwhile
 * (-EBUSY), so calls do not nest. The number of exits has no limit but the deadline. A kick does
 * not end the call: the embedder gets its -EINTR from the next sym_vcpu_run_begin().
 *
 * Giving up. The thread compares the clock with the deadline after each KVM_RUN that did not end
 * with the return. A handler that makes no exit is stopped by a signal: of the embedder's timer, or
 * of a thread that watches sym_vcpu_overdue(). An exit by which KVM reports a fault or HLT of the
 * handler ends the call too, and so does a failure of service_exit or KVM_RUN. The vCPU is then
 * latched: no call enters until the guest disables and enables its calls again, or the vCPU is
 * reset. After a missed deadline a guest with SYM_FEATURE_ABANDON is entered once more, to undo
 * what its entry code did.
 *
 * Restoring. The saved context goes back into kvm_run, and KVM loads it at the next KVM_RUN. A vCPU
 * that was halted is made runnable for the handler and halted again here.
 *
 * Threads. All of this runs on the vCPU's thread and takes no lock. Meanwhile other threads only
 * read `enabled`, `latched`, `activity`, `deadline_ns` and the counters, which are atomic.
 */
#include "internal.h"

/*
 * Whether an OUT to the return port came from CPL 0. Reading the segments costs an ioctl, so it
 * is not done again for an instruction of the upper half that has run at CPL 0 before.
 */
static bool from_kernel(struct sym_vcpu *vcpu)
{
	uint64_t rip = vcpu->run->s.regs.regs.rip;
	struct kvm_sregs sregs;

	if (vcpu->return_rip && rip == vcpu->return_rip)
		return true;
	if (sym_kvm_ioctl(vcpu, KVM_GET_SREGS, &sregs) || sregs.ss.dpl)
		return false;
	if (rip >> 63)
		vcpu->return_rip = rip;
	return true;
}

/*
 * Whether the exit in kvm_run is the return of the active call. *stray: it is another OUT to the
 * return port, which is counted.
 */
static bool is_return(struct sym_vcpu *vcpu, bool *stray)
{
	const struct kvm_run *run = vcpu->run;

	*stray = false;
	if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT ||
	    run->io.port != SYM_PORT_BASE + SYM_PORT_RETURN)
		return false;
	*stray = true;
	if (run->io.size != 1 || run->io.count != 1) {
		sym_count(vcpu, returns_bad_form);
		return false;
	}
	if (run->s.regs.regs.r9 != vcpu->sequence) {
		sym_count(vcpu, returns_bad_sequence);
		return false;
	}
	if (!from_kernel(vcpu)) {
		sym_count(vcpu, returns_bad_privilege);
		return false;
	}
	return true;
}

/* An exit of the handler that is not its return. */
static int handler_exit(struct sym_vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_SHUTDOWN:
		vcpu->dead = true;
		return -EFAULT;
	case KVM_EXIT_UNKNOWN:
	case KVM_EXIT_EXCEPTION:
	case KVM_EXIT_FAIL_ENTRY:
	case KVM_EXIT_INTERNAL_ERROR:
	case KVM_EXIT_HLT:
		return -EFAULT;
	}
	return sym_dispatch_nested_exit(vcpu);
}

/* Run the handler until its return: 0, -ETIMEDOUT, -EFAULT, or why the vCPU must stop. */
static int handler_run(struct sym_vcpu *vcpu, uint64_t deadline)
{
	bool stray;

	for (;;) {
		int result = sym_kvm_run(vcpu, KVM_SYNC_X86_REGS);

		if (!result) {
			if (is_return(vcpu, &stray))
				return 0;
			result = stray ? 0 : handler_exit(vcpu);
		}
		if (result && result != -EINTR)
			return result;
		if (sym_now_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

static int set_mp_state(struct sym_vcpu *vcpu, uint32_t mp_state)
{
	struct kvm_mp_state state = {.mp_state = mp_state};

	return sym_kvm_ioctl(vcpu, KVM_SET_MP_STATE, &state);
}

/* Leaves nothing in KVM of a handler that did not return. */
static int leave_handler(struct sym_vcpu *vcpu)
{
	unsigned int discarded = vcpu->exit.discarded;
	int result = vcpu->dead ? 0 : sym_exit_complete(vcpu, true);

	vcpu->exit.discarded = discarded;
	/* The handler may have executed HLT. */
	if (!result && !vcpu->saved.halted)
		result = set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);
	return result;
}

/* The call is given up. */
static void abandon(struct sym_vcpu *vcpu, int error)
{
	int result;

	if (error == -ETIMEDOUT)
		sym_count(vcpu, abandoned_deadline);
	else if (error == -EFAULT)
		sym_count(vcpu, abandoned_fault);
	else
		sym_count(vcpu, abandoned_stop);
	atomic_store(&vcpu->latched, true);
	result = leave_handler(vcpu);
	sym_log(vcpu->vm, SYM_LOG_WARN,
		"vCPU %u: call given up (errno %d)%s, calls are off until it registers again",
		vcpu->id, -error, result ? ", its last exit could not be completed" : "");
}

/*
 * KVM cancels a pending OUT if RIP has changed since. If the interrupted RIP is the RIP of the
 * return itself, the OUT has to be completed instead.
 */
static void finish_return(struct sym_vcpu *vcpu)
{
	if (vcpu->run->s.regs.regs.rip == vcpu->saved.regs.rip)
		sym_exit_complete(vcpu, true);
}

/*
 * Enters once more after a call was given up, so that the guest can undo what the entry of that
 * call did to its accounts (that it is in an NMI, with preemption off). Otherwise the guest would
 * continue at the interrupted place with these accounts. It enters from the interrupted context, as
 * the call did, and with the VM's deadline.
 */
static void tell_abandoned(struct sym_vcpu *vcpu)
{
	const struct sym_call_request nothing = {.number = 0};
	int error = 0;

	sym_context_restore(vcpu);
	if (vcpu->saved.halted)
		error = set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);
	if (!error) {
		vcpu->sequence++;
		sym_context_load(vcpu, &nothing);
		vcpu->run->s.regs.regs.rbx |= SYM_ENTRY_ABANDONED;
		error = handler_run(vcpu, sym_deadline_start(vcpu, vcpu->vm->deadline_us));
		sym_deadline_stop(vcpu);
		if (!error) {
			finish_return(vcpu);
			return;
		}
		leave_handler(vcpu);
	}
	sym_log(vcpu->vm, SYM_LOG_WARN,
		"vCPU %u: the guest did not take note of the call that was given up (errno %d)",
		vcpu->id, -error);
}

static int enter(struct sym_vcpu *vcpu, const struct sym_call_request *request, int64_t *value)
{
	uint32_t deadline_us = request->deadline_us ? request->deadline_us : vcpu->vm->deadline_us;
	uint64_t deadline;
	int error = 0;

	if (vcpu->saved.halted)
		error = set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);
	if (error)
		return error;
	vcpu->sequence++;
	sym_spy_write_context(vcpu);
	sym_context_load(vcpu, request);
	sym_count(vcpu, calls);
	deadline = sym_deadline_start(vcpu, deadline_us);
	error = handler_run(vcpu, deadline);
	sym_deadline_stop(vcpu);
	*value = (int64_t)vcpu->run->s.regs.regs.rax;
	if (error) {
		abandon(vcpu, error);
		if (error == -ETIMEDOUT && atomic_load(&vcpu->vm->granted) & SYM_FEATURE_ABANDON)
			tell_abandoned(vcpu);
	} else {
		sym_count(vcpu, completed);
		finish_return(vcpu);
	}
	sym_context_restore(vcpu);
	if (vcpu->saved.halted && set_mp_state(vcpu, KVM_MP_STATE_HALTED))
		sym_log(vcpu->vm, SYM_LOG_ERROR, "vCPU %u: cannot be halted again", vcpu->id);
	return error;
}

/*
 * A debugger's single-step must not step the handler. KVM takes RIP from the vCPU when stepping is
 * armed again, so the restored context has to be loaded first.
 */
static int enter_undebugged(struct sym_vcpu *vcpu, const struct sym_call_request *request,
			    int64_t *value)
{
	struct kvm_guest_debug off = {0};
	int error, rearm;

	if (!(vcpu->debug.control & KVM_GUESTDBG_ENABLE))
		return enter(vcpu, request, value);
	error = sym_kvm_ioctl(vcpu, KVM_SET_GUEST_DEBUG, &off);
	if (error)
		return error;
	error = enter(vcpu, request, value);
	rearm = sym_exit_complete(vcpu, true);
	if (!rearm)
		rearm = sym_kvm_ioctl(vcpu, KVM_SET_GUEST_DEBUG, &vcpu->debug);
	return error ? error : rearm;
}

/* From the embedder's exit to a kvm_run that describes it again. */
static int call_in_exit(struct sym_vcpu *vcpu, const struct sym_call_request *request,
			int64_t *value)
{
	struct sym_exit *exit = &vcpu->exit;
	uint32_t valid_regs = vcpu->run->kvm_valid_regs;
	bool dummy;
	int error = sym_exit_prepare(vcpu, request->flags & SYM_CALL_MAY_FAIL);

	if (error)
		return error;
	dummy = exit->has_snapshot && !exit->answered;
	error = sym_exit_complete(vcpu, dummy);
	if (!error) {
		sym_context_save(vcpu);
		error = sym_admit_context(vcpu);
	}
	if (!error)
		error = enter_undebugged(vcpu, request, value);
	vcpu->run->kvm_valid_regs = valid_regs;
	sym_exit_restore_run(vcpu);
	return error;
}

int sym_call(struct sym_vcpu *vcpu, const struct sym_call_request *request,
	     struct sym_call_result *result)
{
	uint64_t start = __builtin_ia32_rdtsc();
	int error, before;

	*result = (struct sym_call_result){0};
	if (request->number > SYM_CALL_ATOMIC_LAST) {
		sym_count(vcpu, refused_number);
		return -EINVAL;
	}
	error = sym_admit_registration(vcpu);
	if (error)
		return error;
	before = sym_activity_set(vcpu, SYM_IN_CALL);
	error = call_in_exit(vcpu, request, &result->value);
	sym_activity_set(vcpu, before);
	if (!error && request->message)
		error = sym_spy_message(vcpu, result->value, request->message,
					request->message_size, &result->message_length);
	sym_count_add(&vcpu->stats.call_cycles, __builtin_ia32_rdtsc() - start);
	return error;
}
