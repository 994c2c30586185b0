/* SPDX-License-Identifier: BSD-2-Clause */
/* Doorbells: exits that the guest's kernel makes on purpose, to ask the VMM and be asked. */
#include <string.h>

#include "internal.h"

#define NS_PER_SEC	      1000000000ull
#define BURST_MIN	      64
#define BURST_PER_SEC_DIVISOR 10

/* A token bucket in units of 1/10^9 doorbell, filled by the time that passes. */
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

/*
 * The page of a doorbell that the guest's kernel rang. NULL if something else did, such as a
 * process with ioperm(): then the forged doorbell is counted.
 */
struct sym_spy_vcpu *sym_doorbell_page(struct sym_vcpu *vcpu)
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
	spy = sym_doorbell_page(vcpu);
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
