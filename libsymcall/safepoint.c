/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Safepoint calls, made while a doorbell is served. Such a call is a coroutine: the guest's module
 * expects it, finds it in the SymSpy page after its OUT, and rings again with the result. Nothing
 * is saved, loaded or synchronized: a call is one KVM_RUN and those of the handler's own exits.
 */
#include <string.h>

#include "internal.h"

/*
 * Serves exits until the guest rings with the call's result. 0, -ENODATA (the guest moved its
 * page), -ETIMEDOUT, -EFAULT (the guest died), or why the vCPU must stop.
 */
static int run_to_answer(struct sym_vcpu *vcpu, struct sym_spy_vcpu *spy, uint64_t deadline)
{
	const struct kvm_run *run = vcpu->run;

	for (;;) {
		int result = sym_kvm_run(vcpu, 0);

		if (!result && run->exit_reason == KVM_EXIT_IO &&
		    run->io.direction == KVM_EXIT_IO_OUT &&
		    run->io.port == SYM_PORT_BASE + SYM_PORT_DOORBELL) {
			if (vcpu->spy != spy)
				return -ENODATA;
			if (sym_doorbell_page(vcpu))
				return 0;
		} else if (!result) {
			switch (run->exit_reason) {
			case KVM_EXIT_SHUTDOWN:
			case KVM_EXIT_FAIL_ENTRY:
			case KVM_EXIT_INTERNAL_ERROR:
				/* The guest itself has ended, not only the handler: the embedder's
				 * exit. */
				vcpu->dead = true;
				return -EFAULT;
			}
			result = sym_dispatch_nested_exit(vcpu);
		}
		if (result && result != -EINTR)
			return result;
		if (sym_now_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

static int safepoint_admit(struct sym_vcpu *vcpu, const struct sym_call_request *request)
{
	if (request->number < SYM_CALL_SAFEPOINT_FIRST ||
	    request->number > SYM_CALL_SAFEPOINT_LAST) {
		sym_count(vcpu, refused_number);
		return -EINVAL;
	}
	if (sym_activity(vcpu) != SYM_IN_DOORBELL || vcpu->nested)
		return -EPERM;
	if (vcpu->safepoint_abandoned || vcpu->dead) {
		sym_count(vcpu, refused_latched);
		return -ENOTRECOVERABLE;
	}
	if (!vcpu->spy || vcpu->spy != vcpu->doorbell_spy)
		return -ENODATA;
	return 0;
}

static int safepoint_run(struct sym_vcpu *vcpu, const struct sym_call_request *request)
{
	struct sym_spy_vcpu *spy = vcpu->spy;
	uint32_t valid_regs = vcpu->run->kvm_valid_regs;
	uint32_t deadline_us = request->deadline_us ? request->deadline_us : vcpu->vm->deadline_us;
	uint64_t deadline;
	int error;

	spy->doorbell.number = request->number;
	memcpy(spy->doorbell.args, request->args, sizeof(request->args));
	__atomic_store_n(&spy->doorbell.state, SYM_DOORBELL_STATE_CALL, __ATOMIC_RELEASE);
	sym_count(vcpu, safepoint_calls);
	sym_activity_set(vcpu, SYM_IN_SAFEPOINT);
	deadline = sym_deadline_start(vcpu, deadline_us);
	error = run_to_answer(vcpu, spy, deadline);
	sym_deadline_stop(vcpu);
	sym_activity_set(vcpu, SYM_IN_DOORBELL);
	vcpu->run->kvm_valid_regs = valid_regs;
	if (!error) {
		sym_count(vcpu, safepoint_completed);
		return 0;
	}
	if (error == -ETIMEDOUT)
		sym_count(vcpu, abandoned_deadline);
	else
		sym_count(vcpu, abandoned_stop);
	vcpu->safepoint_abandoned = error != -ENODATA;
	return error;
}

int sym_call_safepoint(struct sym_vcpu *vcpu, const struct sym_call_request *request,
		       struct sym_call_result *result)
{
	uint64_t start = __builtin_ia32_rdtsc();
	int error = safepoint_admit(vcpu, request);

	*result = (struct sym_call_result){0};
	if (error)
		return error;
	error = safepoint_run(vcpu, request);
	if (!error) {
		result->value = (int64_t)__atomic_load_n(&vcpu->spy->doorbell.result,
							 __ATOMIC_RELAXED);
		if (request->message)
			error = sym_spy_message(vcpu, result->value, request->message,
						request->message_size, &result->message_length);
	}
	sym_count_add(&vcpu->stats.call_cycles, __builtin_ia32_rdtsc() - start);
	return error;
}
