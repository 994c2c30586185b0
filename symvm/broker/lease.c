// SPDX-License-Identifier: BSD-2-Clause
#include "broker/lease.h"

#include "util/u64.h"

static const char *const state_names[LEASE_STATES] = {
	[LEASE_WAITING] = "waiting", [LEASE_HELD] = "held",	[LEASE_RECALLED] = "recalled",
	[LEASE_OVERDUE] = "overdue", [LEASE_ABSENT] = "absent",
};

const char *lease_state_name(enum lease_state state)
{
	return state_names[state];
}

static uint64_t bounded(const struct lease *lease, uint64_t bytes)
{
	return u64_min(u64_max(bytes, lease->min), lease->max);
}

static bool is_present(const struct lease *lease)
{
	return lease->state == LEASE_HELD || lease->state == LEASE_RECALLED ||
	       lease->state == LEASE_OVERDUE;
}

void lease_join(struct lease *lease, uint64_t min, uint64_t max, uint64_t deadline_ns)
{
	*lease = (struct lease){
		.state = LEASE_WAITING,
		.min = min,
		.max = u64_max(min, max),
		.target = min,
		.deadline_ns = deadline_ns,
		.enforced = lease->enforced,
	};
}

void lease_begin(struct lease *lease)
{
	lease->state = LEASE_HELD;
	lease->granted = lease->target = lease->min;
}

void lease_restore(struct lease *lease, uint64_t min, uint64_t max, uint64_t granted,
		   uint64_t deadline_ns)
{
	lease_join(lease, min, max, deadline_ns);
	lease->state = LEASE_ABSENT;
	lease->granted = lease->target = bounded(lease, granted);
}

void lease_lose(struct lease *lease, uint64_t deadline_ns)
{
	lease->state = LEASE_ABSENT;
	lease->granted = bounded(lease, lease->granted);
	lease->target = lease->granted;
	lease->deadline_ns = deadline_ns;
}

void lease_resume(struct lease *lease, uint64_t held)
{
	lease->state = LEASE_HELD;
	lease->granted = lease->target = bounded(lease, u64_min(held, lease->granted));
}

void lease_use(struct lease *lease, uint64_t used, bool enforced)
{
	uint64_t kept = used > LEASE_SLACK ? used - LEASE_SLACK : 0;

	lease->used = used;
	lease->enforced = enforced;
	if (lease->state != LEASE_OVERDUE || !enforced)
		return;
	lease->granted = u64_max(lease->target, u64_min(lease->granted, kept));
	if (lease->granted == lease->target)
		lease->state = LEASE_HELD;
}

uint64_t lease_charge(const struct lease *lease)
{
	if (lease->state == LEASE_WAITING)
		return 0;
	return u64_max(lease->granted, lease->used);
}

uint64_t lease_ceiling(const struct lease *lease)
{
	uint64_t ceiling = lease->state == LEASE_OVERDUE ? lease->target : lease->granted;

	return u64_max(ceiling, lease->min) + LEASE_SLACK;
}

void lease_aim(struct lease *lease, uint64_t target, uint64_t deadline_ns)
{
	if (!is_present(lease))
		return;
	lease->target = bounded(lease, target);
	if (lease->target >= lease->granted) {
		lease->state = LEASE_HELD;
	} else if (lease->state == LEASE_HELD) {
		lease->state = LEASE_RECALLED;
		lease->deadline_ns = deadline_ns;
	}
}

uint64_t lease_grant(struct lease *lease, uint64_t room)
{
	uint64_t grant;

	if (lease->state != LEASE_HELD || lease->target <= lease->granted)
		return 0;
	grant = u64_min(lease->target - lease->granted, room);
	lease->granted += grant;
	return grant;
}

void lease_return(struct lease *lease, uint64_t held)
{
	/* Without a recall nothing is returned: what was granted may still be on its way. */
	if (lease->state != LEASE_RECALLED && lease->state != LEASE_OVERDUE)
		return;
	if (held < lease->granted)
		lease->granted = u64_max(held, lease->target);
	if (lease->granted <= lease->target)
		lease->state = LEASE_HELD;
}

bool lease_tick(struct lease *lease, uint64_t now_ns)
{
	if (now_ns < lease->deadline_ns)
		return false;
	if (lease->state == LEASE_RECALLED)
		lease->state = LEASE_OVERDUE;
	else if (lease->state == LEASE_ABSENT)
		lease->granted = lease->target = bounded(lease,
							 u64_min(lease->granted, lease->used));
	return lease->state == LEASE_WAITING;
}
