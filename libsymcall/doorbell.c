/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells, and the safepoint calls inside them. Such a call is a coroutine: the
 * guest's module expects it, finds it in the SymSpy page after its OUT, and rings
 * again with the result. Nothing is saved, loaded or synced; KVM_RUN is all.
 */
#include <string.h>

#include "internal.h"

#define NS_PER_SEC	      1000000000ull
#define BURST_MIN	      64
#define BURST_PER_SEC_DIVISOR 10

/* A token bucket, in units of 1/10^9 doorbell: it fills with the time that passes. */
static bool take_token(struct sym_vcpu *vcpu)
{
	uint64_t rate = vcpu->vm->doorbells_per_sec;
	uint64_t burst = rate / BURST_PER_SEC_DIVISOR;
	uint64_t now = sym_now_coarse_ns();
	uint64_t passed = now - vcpu->tokens_ns;

	if (burst < BURST_MIN)
		burst = BURST_MIN;
	if (passed > NS_PER_SEC)
		passed = NS_PER_SEC;
	vcpu->tokens += passed * rate;
	if (vcpu->tokens > burst * NS_PER_SEC)
		vcpu->tokens = burst * NS_PER_SEC;
	vcpu->tokens_ns = now;
	if (vcpu->tokens < NS_PER_SEC)
		return false;
	vcpu->tokens -= NS_PER_SEC;
	return true;
}

/* The page of a doorbell that the guest's kernel, not a process with ioperm(), rang. */
static struct sym_spy_vcpu *authentic(struct sym_vcpu *vcpu)
{
	struct sym_spy_vcpu *spy = vcpu->spy;

	if (!spy || !(atomic_load(&vcpu->vm->granted) & SYM_FEATURE_SAFEPOINT) ||
	    __atomic_load_n(&spy->doorbell.cookie, __ATOMIC_ACQUIRE) != vcpu->cookie) {
		sym_count(vcpu, doorbells_forged);
		return NULL;
	}
	return spy;
}

static void give_verdict(struct sym_vcpu *vcpu, struct sym_spy_vcpu *spy, uint64_t verdict)
{
	/* The guest may have moved its page while the handler ran. */
	if (vcpu->spy != spy)
		return;
	spy->doorbell.verdict = verdict;
	__atomic_store_n(&spy->doorbell.state, SYM_DOORBELL_STATE_VERDICT, __ATOMIC_RELEASE);
}

static uint64_t serve(struct sym_vcpu *vcpu, struct sym_spy_vcpu *spy)
{
	uint32_t reason = __atomic_load_n(&spy->doorbell.reason, __ATOMIC_RELAXED);
	const struct sym_doorbell_entry *entry;
	uint64_t request[6], verdict;

	if (!take_token(vcpu)) {
		sym_count(vcpu, doorbells_limited);
		return (uint64_t)-EAGAIN;
	}
	sym_count(vcpu, doorbells);
	if (reason >= SYM_DOORBELL_REASONS || !vcpu->vm->doorbells[reason].handler)
		return reason == SYM_DOORBELL_NONE ? 0 : (uint64_t)-ENOSYS;
	memcpy(request, spy->doorbell.request, sizeof(request));
	entry = &vcpu->vm->doorbells[reason];
	vcpu->doorbell_spy = spy;
	sym_activity_set(vcpu, SYM_IN_DOORBELL);
	verdict = entry->handler(entry->opaque, vcpu, vcpu->opaque, request);
	sym_activity_set(vcpu, SYM_IDLE);
	vcpu->doorbell_spy = NULL;
	return verdict;
}

/* An OUT to the doorbell port that no safepoint call waits for. */
void sym_doorbell_ring(struct sym_vcpu *vcpu)
{
	struct sym_spy_vcpu *spy;
	uint64_t verdict;

	if (sym_activity(vcpu) != SYM_IDLE || vcpu->nested) {
		sym_count(vcpu, doorbells_nested);
		return;
	}
	spy = authentic(vcpu);
	if (!spy)
		return;
	if (vcpu->safepoint_abandoned) {
		vcpu->safepoint_abandoned = false;
		give_verdict(vcpu, spy, vcpu->late_verdict);
		return;
	}
	verdict = serve(vcpu, spy);
	vcpu->late_verdict = verdict;
	give_verdict(vcpu, spy, verdict);
}

/* Serve exits until the guest rings with the call's result. */
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
			if (authentic(vcpu))
				return 0;
		} else if (!result) {
			switch (run->exit_reason) {
			case KVM_EXIT_SHUTDOWN:
			case KVM_EXIT_FAIL_ENTRY:
			case KVM_EXIT_INTERNAL_ERROR:
				/* The guest's own end, not the handler's: the embedder's exit. */
				vcpu->dead = true;
				return -EFAULT;
			}
			result = sym_exit_service(vcpu);
		}
		if (result && result != -EINTR)
			return result;
		if (sym_now_ns() >= deadline)
			return -ETIMEDOUT;
	}
}

static int safepoint_gate(struct sym_vcpu *vcpu, const struct sym_call_request *request)
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
	int error = safepoint_gate(vcpu, request);

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
