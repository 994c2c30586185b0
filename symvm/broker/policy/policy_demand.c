// SPDX-License-Identifier: BSD-2-Clause
/*
 * The policy `demand`, the default. As in `proportional`, a VM gets what it wants and weights
 * divide what is short. But the weight is not the owner's alone: memory goes where it does most
 * good.
 *
 * - Idle memory is taxed, in the ratio of ESX (Waldspurger, OSDI 2002). A byte that a VM holds and
 * does not use costs it as much as k = 1 / (1 - tax) bytes that it uses; with a tax of 75 % k is 4.
 * The tax is on what goes beyond the used part alone. So the result does not depend on how much the
 * VM holds now, and the next decision does not undo it.
 * - Misses count. The time that a VM lost since the last decisions (swap-ins and refaults, times
 * what one costs; or what PSI says, if that is more) is smoothed over some decisions. A VM that
 * loses all its time has five times its weight, and one that loses none has it once. So a VM that
 * claims an endless loss gains no more than that factor over an honest one. It is a need, not a
 * benefit: a VM that more memory would not help gains it, too.
 * - Small changes are not worth a recall. A VM keeps a lease that is within an eighth of what it
 * should have, as far as there is room. A VM that wants so little more and loses less than 2 % of
 * its time gets only what is left.
 * - A sixteenth of the share stays free if nobody wants it now. A burst finds it at once, and need
 * not wait until others have returned something. What nobody needs beyond that stays where it is.
 * - The host comes first. While it lacks memory (PSI, or less than a 32nd of the share free), the
 * sum of all leases goes down by a 16th every ten seconds, never below the mins. PSI is a mean over
 * so long.
 */
#include <stdio.h>
#include <string.h>

#include "broker/policy/policy.h"
#include "util/u64.h"

#define LOSS_ALL      10000u  /* all of the time, in hundredths of a percent */
#define LOSS_FACTOR   4u      /* gained by a VM that loses all its time */
#define SMOOTH	      4u      /* a new value counts for a quarter */
#define MISS_NS	      100000u /* if a VM does not say what a miss costs */
#define HOST_PRESSED  1000u   /* "full" of the host's PSI: 10 % */
#define CALM_LOSS     200u    /* 2 % */
#define HOLD_PART     32u
#define KEEP_PART     8u
#define HOST_PART     32u
#define PRESSURE_PART 16u
#define RESERVE_PART  16u
#define REPORT_NS     1000000000ull
#define CUT_NS	      10000000000ull

/* What is known about a VM since earlier decisions. */
struct history {
	uint64_t id; /* 0: the entry is free */
	uint64_t misses, at_ns;
	uint64_t loss; /* hundredths of a percent */
};

struct demand_state {
	struct history histories[BROKER_POLICY_VMS_MAX];
	uint64_t total;	 /* what all may have while the host lacks memory; 0: the whole share */
	uint64_t cut_ns; /* when it was cut last */
};

/* Histories are in the order of the VMs. A VM that was not there before begins without one. */
static void histories_order(struct demand_state *state, const struct broker_vm_view *vms,
			    size_t count)
{
	struct history old[BROKER_POLICY_VMS_MAX];

	memcpy(old, state->histories, sizeof(old));
	memset(state->histories, 0, sizeof(state->histories));
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < BROKER_POLICY_VMS_MAX; j++) {
			size_t at = (i + j) % BROKER_POLICY_VMS_MAX;

			if (old[at].id == vms[i].id && vms[i].id) {
				state->histories[i] = old[at];
				break;
			}
		}
		state->histories[i].id = vms[i].id;
	}
}

/* The part of its time that the VM loses, smoothed, in hundredths of a percent. */
static uint64_t loss_update(struct history *history, const struct broker_vm_view *vm,
			    uint64_t now_ns)
{
	uint64_t misses = u64_min(vm->swap_ins, UINT64_MAX / 2) +
			  u64_min(vm->refaults, UINT64_MAX / 2);
	uint64_t loss = u64_min(u64_max(vm->psi_some, vm->psi_full), LOSS_ALL);

	/* It says its counters once a second, more seldom than decisions come. */
	if (misses == history->misses && now_ns - history->at_ns < REPORT_NS)
		return history->loss;
	if (history->at_ns && now_ns > history->at_ns && misses > history->misses) {
		uint64_t cost = vm->miss_ns ? vm->miss_ns : MISS_NS;
		unsigned __int128 lost = (unsigned __int128)(misses - history->misses) * cost;

		lost = lost * LOSS_ALL / (now_ns - history->at_ns);
		loss = lost > LOSS_ALL ? LOSS_ALL : u64_max(loss, (uint64_t)lost);
	}
	history->misses = misses;
	history->at_ns = now_ns;
	history->loss = (history->loss * (SMOOTH - 1) + loss + SMOOTH - 1) / SMOOTH;
	return history->loss;
}

/* The claim of a VM that loses so much of its time. */
static struct broker_claim claim_of(const struct broker_vm_view *vm, uint64_t loss)
{
	/* What its account does not show it does not use, whatever it says. */
	uint64_t unused = vm->leased > vm->used ? vm->leased - vm->used : 0;
	uint64_t idle = u64_min(u64_max(vm->idle, unused), vm->leased);

	return (struct broker_claim){
		.low = vm->min,
		.high = vm->want,
		.weight = vm->weight * (LOSS_ALL + LOSS_FACTOR * loss),
		.active = idle ? vm->leased - idle : u64_max(vm->leased, vm->want),
	};
}

/* How much all VMs together may have now. */
static uint64_t total_allowed(struct demand_state *state, const struct broker_host_view *host,
			      const struct broker_vm_view *vms, size_t count)
{
	uint64_t leased = 0;

	if (host->psi_full < HOST_PRESSED && host->free >= host->share / HOST_PART) {
		state->total = 0;
		return host->share;
	}
	for (size_t i = 0; i < count; i++)
		leased += vms[i].leased;
	if (!state->total || host->now_ns - state->cut_ns >= CUT_NS) {
		state->total = u64_min(leased - leased / PRESSURE_PART, host->share);
		state->cut_ns = host->now_ns;
	}
	return u64_min(state->total, host->share);
}

/* By how much a lease would shrink, if that is little. */
static uint64_t small_recall(const struct broker_vm_view *vm, uint64_t target)
{
	uint64_t less = vm->leased > target ? vm->leased - target : 0;

	return vm->leased <= vm->max && less <= vm->leased / KEEP_PART ? less : 0;
}

/* By how much it would grow, if that is little and the VM does not lose by doing without. */
static uint64_t small_grant(const struct broker_vm_view *vm, uint64_t loss, uint64_t target)
{
	uint64_t more = target > vm->leased && vm->leased >= vm->min ? target - vm->leased : 0;

	return loss < CALM_LOSS && more <= vm->leased / HOLD_PART ? more : 0;
}

/*
 * Leaves leases as they are where the change is small: first it takes small grants back as far as
 * small recalls need the room, then it leaves out the recalls that fit. Returns the sum.
 */
static uint64_t changes_limit(uint64_t total, const struct demand_state *state,
			      const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	uint64_t sum = 0, recalls = 0;

	for (size_t i = 0; i < count; i++) {
		recalls += small_recall(&vms[i], targets[i]);
		sum += targets[i];
	}
	for (size_t i = 0; i < count && sum <= total && recalls > total - sum; i++) {
		uint64_t more = small_grant(&vms[i], state->histories[i].loss, targets[i]);

		targets[i] -= more;
		sum -= more;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t less = small_recall(&vms[i], targets[i]);

		if (sum > total || less > total - sum)
			continue;
		targets[i] += less;
		sum += less;
	}
	return sum;
}

static void demand_decide(void *opaque, const struct broker_host_view *host,
			  const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	struct demand_state *state = opaque;
	struct broker_claim claims[BROKER_POLICY_VMS_MAX] = {0};
	uint64_t total = total_allowed(state, host, vms, count), sum;

	histories_order(state, vms, count);
	for (size_t i = 0; i < count; i++)
		claims[i] = claim_of(&vms[i],
				     loss_update(&state->histories[i], &vms[i], host->now_ns));
	broker_share_out(total, count, claims, targets);
	for (size_t i = 0; i < count; i++)
		claims[i].high = u64_min(u64_max(targets[i], vms[i].leased), vms[i].max);
	sum = changes_limit(total, state, vms, count, targets);
	for (size_t i = 0; i < count; i++)
		claims[i].low = targets[i];
	broker_share_out(u64_max(u64_min(sum, total), total - total / RESERVE_PART), count, claims,
			 targets);
}

static const struct history *history_find(const struct demand_state *state, uint64_t id)
{
	for (size_t i = 0; i < BROKER_POLICY_VMS_MAX; i++)
		if (id && state->histories[i].id == id)
			return &state->histories[i];
	return NULL;
}

static void demand_explain(const void *opaque, const struct broker_vm_view *vm, char *text,
			   size_t size)
{
	const struct history *history = history_find(opaque, vm->id);
	uint64_t loss = history ? history->loss : 0;
	struct broker_claim claim = claim_of(vm, loss);
	uint64_t idle = vm->leased > claim.active ? vm->leased - claim.active : 0;
	uint64_t factor = 100 + LOSS_FACTOR * loss * 100 / LOSS_ALL;

	snprintf(text, size,
		 "idle tax: %llu MiB of it are idle and count %u times; marginal loss: it loses "
		 "%llu.%02llu %% of its time by misses, so its weight counts %llu.%02llu times",
		 (unsigned long long)(idle >> 20), BROKER_IDLE_COST,
		 (unsigned long long)(loss / 100), (unsigned long long)(loss % 100),
		 (unsigned long long)(factor / 100), (unsigned long long)(factor % 100));
}

static const struct broker_policy demand_policy = {
	.name = "demand",
	.help = "what each wants; if that is more than the share, where it does most good",
	.state_size = sizeof(struct demand_state),
	.decide = demand_decide,
	.explain = demand_explain,
};
BROKER_POLICY(demand_policy);
