// SPDX-License-Identifier: BSD-2-Clause
#include "broker/accounts.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/u64.h"

static_assert(ACCOUNTS_VMS_MAX <= BROKER_POLICY_VMS_MAX, "a policy takes all VMs");

#define MIB (1ull << 20)

static struct accounts_vm *vm_next(struct accounts *accounts, struct accounts_vm *vm)
{
	struct accounts_vm *end = accounts->vms + ACCOUNTS_VMS_MAX;

	for (vm = vm ? vm + 1 : accounts->vms; vm < end; vm++)
		if (vm->present)
			return vm;
	return NULL;
}

#define FOR_EACH_VM(accounts, vm)                                                       \
	for (struct accounts_vm *vm = vm_next((struct accounts *)(accounts), NULL); vm; \
	     vm = vm_next((struct accounts *)(accounts), vm))

int accounts_create(const struct accounts_config *config, struct accounts **out, struct error *err)
{
	struct accounts *accounts;

	if (config->share == 0 || config->share > ACCOUNTS_BYTES_MAX)
		return error_set(err, -EINVAL, "share: %llu bytes are not from 1 to %llu",
				 (unsigned long long)config->share,
				 (unsigned long long)ACCOUNTS_BYTES_MAX);
	accounts = calloc(1, sizeof(*accounts));
	if (accounts && config->policy->state_size)
		accounts->policy_state = calloc(1, config->policy->state_size);
	if (!accounts || (config->policy->state_size && !accounts->policy_state)) {
		free(accounts);
		return error_set(err, -ENOMEM, "out of memory");
	}
	accounts->config = *config;
	accounts->host_free = ACCOUNTS_BYTES_MAX;
	*out = accounts;
	return 0;
}

void accounts_destroy(struct accounts *accounts)
{
	if (!accounts)
		return;
	free(accounts->policy_state);
	free(accounts);
}

struct accounts_vm *accounts_find(struct accounts *accounts, const char *name)
{
	FOR_EACH_VM(accounts, vm)
	if (strcmp(vm->name, name) == 0)
		return vm;
	return NULL;
}

uint64_t accounts_free(const struct accounts *accounts)
{
	uint64_t share = accounts->config.share, sum = 0;

	FOR_EACH_VM(accounts, vm)
	sum += lease_charge(&vm->lease);
	return sum < share ? share - sum : 0;
}

/*
 * What no recall can bring back: each VM's min, and what a VM uses beyond its lease although it was
 * to return it.
 */
static uint64_t fixed_charge(const struct accounts_vm *vm)
{
	const struct lease *lease = &vm->lease;

	if (lease->state == LEASE_OVERDUE)
		return u64_max(lease_charge(lease), lease->min);
	return lease->min;
}

/* What @vm lacks for its min even if all others returned what they can. 0: it can be had. */
static uint64_t missing_for(const struct accounts *accounts, const struct accounts_vm *vm)
{
	uint64_t sum = vm->lease.min;

	FOR_EACH_VM(accounts, other)
	if (other != vm)
		sum += fixed_charge(other);
	return sum > accounts->config.share ? sum - accounts->config.share : 0;
}

static unsigned long long mib_up(uint64_t bytes)
{
	return (bytes + MIB - 1) / MIB;
}

int accounts_refusal(const struct accounts *accounts, const struct accounts_vm *vm,
		     struct error *err)
{
	uint64_t missing = missing_for(accounts, vm), free_now = accounts_free(accounts);

	if (missing)
		return error_set(err, -ENOSPC,
				 "the host is full: %llu MiB are missing for the %llu MiB that "
				 "'%s' needs at least (the share is %llu MiB)",
				 mib_up(missing), mib_up(vm->lease.min), vm->name,
				 (unsigned long long)(accounts->config.share / MIB));
	return error_set(err, -ENOSPC,
			 "the host is full: other VMs did not return %llu MiB in time, which are "
			 "missing for the %llu MiB that '%s' needs at least",
			 mib_up(vm->lease.min - u64_min(free_now, vm->lease.min)),
			 mib_up(vm->lease.min), vm->name);
}

static int join_check(const struct accounts_join *join, struct error *err)
{
	size_t length = strlen(join->name);

	if (length == 0 || length > ACCOUNTS_NAME_MAX)
		return error_set(err, -EINVAL, "name: not 1 to %u bytes", ACCOUNTS_NAME_MAX);
	if (join->min == 0 || join->min > join->max || join->max > ACCOUNTS_BYTES_MAX)
		return error_set(err, -EINVAL, "min and max: not 0 < min <= max <= %llu",
				 (unsigned long long)ACCOUNTS_BYTES_MAX);
	if (join->weight == 0 || join->weight > ACCOUNTS_WEIGHT_MAX)
		return error_set(err, -EINVAL, "weight: not from 1 to %u", ACCOUNTS_WEIGHT_MAX);
	return 0;
}

static struct accounts_vm *vm_fill(struct accounts *accounts, struct accounts_vm *vm,
				   const struct accounts_join *join, uint64_t now_ns)
{
	*vm = (struct accounts_vm){
		.present = true,
		.id = ++accounts->next_id,
		.weight = join->weight,
		.joined_ns = now_ns,
	};
	snprintf(vm->name, sizeof(vm->name), "%s", join->name);
	accounts->count++;
	return vm;
}

static struct accounts_vm *vm_add(struct accounts *accounts, const struct accounts_join *join,
				  uint64_t now_ns)
{
	for (unsigned i = 0; i < ACCOUNTS_VMS_MAX; i++)
		if (!accounts->vms[i].present)
			return vm_fill(accounts, &accounts->vms[i], join, now_ns);
	return NULL;
}

/* What the VM has to keep to; while it waits, nothing. */
static uint64_t lease_told(const struct lease *lease)
{
	if (lease->state == LEASE_RECALLED || lease->state == LEASE_OVERDUE)
		return lease->target;
	return lease->state == LEASE_WAITING ? 0 : lease->granted;
}

static void tell_changes(struct accounts *accounts)
{
	FOR_EACH_VM(accounts, vm)
	{
		uint64_t told = lease_told(&vm->lease);

		if (told == vm->told)
			continue;
		vm->told = told;
		vm->serial++;
		vm->tell = true;
	}
}

/* The VM of an earlier connection or broker. It keeps the limits that were checked when it joined.
 */
static int vm_resume(struct accounts *accounts, struct accounts_vm *vm,
		     const struct accounts_join *join, struct error *err)
{
	if (join->min != vm->lease.min || join->max != vm->lease.max || join->weight != vm->weight)
		return error_set(err, -EINVAL, "'%s' joined with another min, max or weight before",
				 vm->name);
	lease_resume(&vm->lease, join->held);
	vm->demand = (struct accounts_demand){.held = join->held};
	vm->told = 0;
	tell_changes(accounts);
	return 0;
}

int accounts_join(struct accounts *accounts, const struct accounts_join *join, uint64_t now_ns,
		  struct accounts_vm **out, struct error *err)
{
	int status = join_check(join, err);
	struct accounts_vm *vm;

	if (status < 0)
		return status;
	vm = accounts_find(accounts, join->name);
	if (vm && vm->lease.state != LEASE_ABSENT)
		return error_set(err, -EEXIST, "a VM '%s' has joined already", join->name);
	if (vm) {
		*out = vm;
		return vm_resume(accounts, vm, join, err);
	}
	vm = vm_add(accounts, join, now_ns);
	if (!vm)
		return error_set(err, -E2BIG, "%u VMs have joined, which is the limit",
				 ACCOUNTS_VMS_MAX);
	lease_join(&vm->lease, join->min, join->max, now_ns + accounts->config.recall_ns);
	if (missing_for(accounts, vm)) {
		status = accounts_refusal(accounts, vm, err);
		accounts_leave(accounts, vm);
		return status;
	}
	*out = vm;
	accounts_settle(accounts);
	return vm->lease.state == LEASE_WAITING ? -EAGAIN : 0;
}

struct accounts_vm *accounts_restore(struct accounts *accounts, unsigned index,
				     const struct accounts_join *join, uint64_t granted,
				     uint64_t now_ns)
{
	struct accounts_vm *vm = &accounts->vms[index];
	struct error err;

	if (join_check(join, &err) < 0 || accounts_find(accounts, join->name) || vm->present)
		return NULL;
	vm_fill(accounts, vm, join, now_ns);
	lease_restore(&vm->lease, join->min, join->max, granted, now_ns + ACCOUNTS_ABSENT_NS);
	return vm;
}

void accounts_lose(struct accounts *accounts, struct accounts_vm *vm, uint64_t now_ns)
{
	if (vm->lease.state == LEASE_WAITING)
		accounts_leave(accounts, vm);
	else
		lease_lose(&vm->lease, now_ns + ACCOUNTS_ABSENT_NS);
}

void accounts_leave(struct accounts *accounts, struct accounts_vm *vm)
{
	vm->present = false;
	accounts->count--;
}

void accounts_demand(struct accounts *accounts, struct accounts_vm *vm,
		     const struct accounts_demand *demand)
{
	vm->demand = *demand;
	vm->demand.held = u64_min(demand->held, ACCOUNTS_BYTES_MAX);
	vm->demand.idle = u64_min(demand->idle, ACCOUNTS_BYTES_MAX);
	vm->demand.want = u64_min(demand->want, ACCOUNTS_BYTES_MAX);
	/* What it held before it was told of a recall says nothing about that recall. */
	if (demand->serial == vm->serial)
		lease_return(&vm->lease, vm->demand.held);
}

void accounts_used(struct accounts_vm *vm, uint64_t used, bool enforced)
{
	lease_use(&vm->lease, u64_min(used, ACCOUNTS_BYTES_MAX), enforced);
}

void accounts_pressure(struct accounts_vm *vm, uint64_t some, uint64_t full)
{
	vm->psi_some = some;
	vm->psi_full = full;
}

void accounts_host(struct accounts *accounts, uint64_t free, uint64_t psi_some, uint64_t psi_full)
{
	accounts->host_free = u64_min(free, ACCOUNTS_BYTES_MAX);
	accounts->host_psi_some = psi_some;
	accounts->host_psi_full = psi_full;
}

static void view_fill(struct broker_vm_view *view, const struct accounts_vm *vm)
{
	const struct lease *lease = &vm->lease;
	const struct accounts_demand *demand = &vm->demand;

	*view = (struct broker_vm_view){
		.id = vm->id,
		.min = lease->min,
		.max = lease->max,
		.weight = vm->weight,
		.leased = lease->granted,
		.used = lease->used,
		.idle = u64_min(demand->idle, lease->granted),
		.want = u64_min(u64_max(demand->want, lease->min), lease->max),
		.refaults = demand->refaults,
		.swap_ins = demand->swap_ins,
		.psi_some = u64_max(demand->psi_some, vm->psi_some),
		.psi_full = u64_max(demand->psi_full, vm->psi_full),
		.miss_ns = demand->miss_ns,
	};
}

/*
 * Keeps the targets within the share, whatever the policy says: each VM has its min, and what all
 * want beyond that is cut in proportion.
 */
static void targets_bound(const struct broker_vm_view *views, size_t count, uint64_t share,
			  uint64_t *targets)
{
	uint64_t mins = 0, beyond = 0, room;

	for (size_t i = 0; i < count; i++) {
		targets[i] = u64_min(u64_max(targets[i], views[i].min), views[i].max);
		mins += views[i].min;
		beyond += targets[i] - views[i].min;
	}
	room = share > mins ? share - mins : 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t more = targets[i] - views[i].min;

		if (beyond > room)
			more = (uint64_t)((unsigned __int128)more * room / beyond);
		/* The whole of its max needs no rounding. */
		if (views[i].min + more < views[i].max)
			more -= more % ACCOUNTS_BLOCK;
		targets[i] = views[i].min + more;
	}
}

/*
 * What a VM that uses more than its lease may aim at: it pays for that itself, down to its min, and
 * no other VM does. UINT64_MAX: it keeps to its lease.
 */
static uint64_t offender_limit(const struct lease *lease)
{
	uint64_t excess;

	if (lease->state == LEASE_OVERDUE)
		return lease->target;
	if (lease->state == LEASE_WAITING || lease->used <= lease->granted + LEASE_SLACK)
		return UINT64_MAX;
	excess = lease->used - lease->granted;
	return u64_max(lease->min, lease->granted - u64_min(excess, lease->granted));
}

static void policy_ask(struct accounts *accounts, uint64_t now_ns)
{
	static _Thread_local struct broker_vm_view views[ACCOUNTS_VMS_MAX];
	static _Thread_local uint64_t targets[ACCOUNTS_VMS_MAX];
	const struct broker_policy *policy = accounts->config.policy;
	const struct broker_host_view host = {
		.share = accounts->config.share,
		.free = accounts->host_free,
		.psi_some = accounts->host_psi_some,
		.psi_full = accounts->host_psi_full,
		.now_ns = now_ns,
	};
	size_t count = 0;

	FOR_EACH_VM(accounts, vm)
	{
		targets[count] = vm->lease.granted;
		view_fill(&views[count++], vm);
	}
	policy->decide(accounts->policy_state, &host, views, count, targets);
	count = 0;
	FOR_EACH_VM(accounts, vm)
	{
		vm->policy_target = targets[count];
		targets[count] = u64_min(targets[count], offender_limit(&vm->lease));
		count++;
	}
	targets_bound(views, count, host.share, targets);
	count = 0;
	FOR_EACH_VM(accounts, vm)
	{
		bool was_held = vm->lease.state == LEASE_HELD;

		lease_aim(&vm->lease, targets[count++], now_ns + accounts->config.recall_ns);
		vm->recalls += was_held && vm->lease.state == LEASE_RECALLED;
	}
}

void accounts_settle(struct accounts *accounts)
{
	uint64_t free = accounts_free(accounts);

	FOR_EACH_VM(accounts, vm)
	{
		if (vm->lease.state != LEASE_WAITING)
			continue;
		if (vm->lease.min <= free) {
			lease_begin(&vm->lease);
			free -= vm->lease.min;
		} else {
			/* Nobody grows on what it waits for. */
			free = 0;
		}
	}
	FOR_EACH_VM(accounts, vm)
	free -= lease_grant(&vm->lease, free);
	tell_changes(accounts);
}

void accounts_tick(struct accounts *accounts, uint64_t now_ns,
		   void (*refused)(void *opaque, struct accounts_vm *vm), void *opaque)
{
	FOR_EACH_VM(accounts, vm)
	{
		bool was_recalled = vm->lease.state == LEASE_RECALLED;
		bool refuse = lease_tick(&vm->lease, now_ns);

		vm->overdue += was_recalled && vm->lease.state == LEASE_OVERDUE;
		if (refuse)
			refused(opaque, vm);
	}
	policy_ask(accounts, now_ns);
	accounts_settle(accounts);
}

const char *accounts_explain_policy(const struct accounts *accounts, const struct accounts_vm *vm,
				    char *text, size_t size)
{
	const struct broker_policy *policy = accounts->config.policy;
	struct broker_vm_view view;

	text[0] = '\0';
	view_fill(&view, vm);
	if (policy->explain)
		policy->explain(accounts->policy_state, &view, text, size);
	return text;
}

static unsigned long long mib(uint64_t bytes)
{
	return bytes / MIB;
}

/* Seconds until @deadline_ns; 0 if it is over. */
static unsigned long long seconds_left(uint64_t deadline_ns, uint64_t now_ns)
{
	return deadline_ns > now_ns ? (deadline_ns - now_ns + 999999999) / 1000000000 : 0;
}

static void explain_held(const struct accounts *accounts, const struct accounts_vm *vm, char *text,
			 size_t size)
{
	const struct lease *lease = &vm->lease;
	const char *policy = accounts->config.policy->name;

	if (lease->target > lease->granted)
		snprintf(text, size,
			 "it has %llu MiB and gets %llu MiB as soon as others return them (policy "
			 "%s)",
			 mib(lease->granted), mib(lease->target), policy);
	else if (lease->granted == lease->max)
		snprintf(text, size, "it has %llu MiB, which is its max", mib(lease->granted));
	else if (lease->granted == lease->min)
		snprintf(text, size, "it has its min of %llu MiB (policy %s; it wants %llu MiB)",
			 mib(lease->min), policy, mib(vm->demand.want));
	else
		snprintf(text, size,
			 "it has the %llu MiB that policy %s gives it (it wants %llu MiB)",
			 mib(lease->granted), policy, mib(vm->demand.want));
}

const char *accounts_explain(const struct accounts *accounts, const struct accounts_vm *vm,
			     uint64_t now_ns, char *text, size_t size)
{
	const struct lease *lease = &vm->lease;

	switch (lease->state) {
	case LEASE_WAITING:
		snprintf(
			text, size,
			"it waits for its min of %llu MiB, of which %llu MiB are free: others have "
			"%llu s to return the rest",
			mib(lease->min), mib(accounts_free(accounts)),
			seconds_left(lease->deadline_ns, now_ns));
		break;
	case LEASE_RECALLED:
		snprintf(text, size,
			 "it has %llu MiB and has %llu s to return %llu MiB (policy %s)",
			 mib(lease->granted), seconds_left(lease->deadline_ns, now_ns),
			 mib_up(lease->granted - lease->target), accounts->config.policy->name);
		break;
	case LEASE_OVERDUE:
		snprintf(text, size, "it did not return %llu MiB in time%s",
			 mib_up(u64_max(lease->granted, lease->used) -
				u64_min(lease->target, u64_max(lease->granted, lease->used))),
			 lease->enforced
				 ? ": its cgroup's memory.high holds it to its lease"
				 : ", and has no cgroup of its own to hold it to its lease");
		break;
	case LEASE_ABSENT:
		snprintf(
			text, size,
			"it is not connected, but its process lives: it keeps %llu MiB for %llu s, "
			"and its min after that",
			mib(lease->granted), seconds_left(lease->deadline_ns, now_ns));
		break;
	default:
		explain_held(accounts, vm, text, size);
	}
	return text;
}
