/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lease of one VM: how much of the host's memory it may have. Pure: no I/O, and no clock but
 * the one that is passed in. All amounts are bytes of the host, everything included: guest RAM,
 * slots, and the VMM's own memory.
 *
 *   lease_join()
 *       |        its min is free            target < granted
 *    WAITING ------------------------> HELD -----------------> RECALLED
 *       |                              ^  ^                    |      |
 *       | deadline                     |  | all is returned,   |      | deadline
 *       v                              |  | or recall is void  |      v
 *    refused                           |  +--------------------+   OVERDUE
 *                                      |  |                           |
 *                                      |  +---------------------------+
 *                                      |      all is returned
 *                         joins again  |
 *                                      |     the connection is lost
 *                                    ABSENT <-------- any of the three
 *                                      |
 *                                      | its process has ended: the caller frees it
 *                                      v
 *
 * What counts against the host's share is the charge, never the VM's word: the greater of what was
 * granted and what its account (memory.current of its cgroup) says that it uses. So memory that a
 * VM did not really return is not lent to another one.
 *
 *  - HELD: the VM may use `granted`. Nothing is asked of it.
 *  - RECALLED: the VM is to return granted - target until the deadline. `granted` follows what it
 *    returns.
 *  - OVERDUE: it did not. From then on the ceiling (memory.high) is the target. If the ceiling is
 *    enforced, the kernel takes the memory, and `granted` follows what the VM still uses.
 *  - ABSENT: nobody speaks for the VM, but its process lives. It keeps its lease for the time in
 *    which a VM connects again, and after that what it uses of it, at least its min.
 */
#ifndef SYMVM_BROKER_LEASE_H
#define SYMVM_BROKER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* By how much a VM may exceed its lease: the granularity of its memory. */
#define LEASE_SLACK (2ull << 20)

enum lease_state {
	LEASE_WAITING,
	LEASE_HELD,
	LEASE_RECALLED,
	LEASE_OVERDUE,
	LEASE_ABSENT,
	LEASE_STATES
};

struct lease {
	enum lease_state state;
	uint64_t min, max;    /* min <= max */
	uint64_t granted;     /* 0 while it waits; otherwise min <= granted <= max */
	uint64_t target;      /* what the policy wants it to have */
	uint64_t used;	      /* by its account */
	uint64_t deadline_ns; /* of WAITING, RECALLED and ABSENT */
	bool enforced;	      /* the ceiling is: the kernel takes what exceeds it */
};

const char *lease_state_name(enum lease_state state);

/* A VM asks for its @min, which it gets by lease_begin(). @deadline_ns: until then it waits. */
void lease_join(struct lease *lease, uint64_t min, uint64_t max, uint64_t deadline_ns);
/* Its min is free: WAITING becomes HELD. */
void lease_begin(struct lease *lease);
/*
 * The lease that a VM had before its broker or its connection ended: ABSENT until the VM joins
 * again or @deadline_ns.
 */
void lease_restore(struct lease *lease, uint64_t min, uint64_t max, uint64_t granted,
		   uint64_t deadline_ns);
/* The connection of the VM is lost. */
void lease_lose(struct lease *lease, uint64_t deadline_ns);
/*
 * The VM of an ABSENT lease is there again, and says that it may hold up to @held bytes. It keeps
 * so much of its lease.
 */
void lease_resume(struct lease *lease, uint64_t held);

/* What the account says now, and whether the ceiling is enforced. */
void lease_use(struct lease *lease, uint64_t used, bool enforced);
/* What counts against the host's share. */
uint64_t lease_charge(const struct lease *lease);
/* What the VM may use at most by now: memory.high. Never below min. */
uint64_t lease_ceiling(const struct lease *lease);

/*
 * The policy wants the VM to have @target, which is limited to [min, max]. Less than granted is
 * recalled until @deadline_ns (a recall under way keeps its deadline); a recall that is not needed
 * any more is void. Gives nothing: see lease_grant().
 */
void lease_aim(struct lease *lease, uint64_t target, uint64_t deadline_ns);
/* Grants what is missing to the target, at most @room. Returns how much that is. */
uint64_t lease_grant(struct lease *lease, uint64_t room);
/* The VM says that it holds at most @held bytes now: what it returned is no longer granted. */
void lease_return(struct lease *lease, uint64_t held);
/* Time has passed: deadlines. Returns true if a WAITING lease must be refused now. */
bool lease_tick(struct lease *lease, uint64_t now_ns);

#endif
