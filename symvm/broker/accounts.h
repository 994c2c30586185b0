/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The accounts of one host: who has a lease of how much, and what is left of the share. Pure: no
 * I/O, and no clock but the one that is passed in (CLOCK_MONOTONIC, ns), so that tests and the
 * simulator run it with a clock of their own. broker/daemon carries out what it decides.
 *
 * The rule that all else follows from: memory is granted only out of what is free, and free is the
 * share less the charge of each VM (lease.h). A policy says what each VM should have; nothing that
 * it says can break the rule. A VM that waits for its min comes before any VM that wants more.
 *
 * All functions: one thread.
 */
#ifndef SYMVM_BROKER_ACCOUNTS_H
#define SYMVM_BROKER_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/lease.h"
#include "broker/policy/policy.h"
#include "util/error.h"

#define ACCOUNTS_VMS_MAX    256u
#define ACCOUNTS_NAME_MAX   63u
#define ACCOUNTS_WEIGHT_MAX 10000u
#define ACCOUNTS_BYTES_MAX  (1ull << 50)
#define ACCOUNTS_BLOCK	    (2ull << 20) /* leases beyond min are multiples of it */
#define ACCOUNTS_RECALL_S   10u		 /* until a recall is overdue, unless configured */
#define ACCOUNTS_ABSENT_NS  5000000000ull

/* What a VM says about itself. Nothing here is believed for the accounts. */
struct accounts_demand {
	uint64_t held;		     /* the most that it may use now; acknowledges a recall */
	uint64_t serial;	     /* of the last lease that it was told */
	uint64_t idle;		     /* it holds, and could give back without a loss */
	uint64_t want;		     /* it would use so much if it got it */
	uint64_t refaults, swap_ins; /* pages since the VM's start */
	uint64_t psi_some, psi_full; /* hundredths of a percent */
	uint64_t miss_ns;	     /* what one of them costs it; 0: unknown */
};

struct accounts_vm {
	bool present; /* the entry is in use */
	uint64_t id;
	char name[ACCOUNTS_NAME_MAX + 1];
	uint64_t weight;
	struct lease lease;
	struct accounts_demand demand;
	uint64_t serial; /* of the lease below */
	uint64_t told;	 /* the VM's lease as it is to be told */
	bool tell;	 /* it changed: the daemon tells it and clears this */
	uint64_t joined_ns;
	uint64_t psi_some, psi_full; /* of its control group, in hundredths of a percent */
	uint64_t recalls, overdue;   /* times */
	uint64_t policy_target;	     /* as the policy gave it, before limits */
};

struct accounts_config {
	uint64_t share;	    /* bytes of the host for all VMs together */
	uint64_t recall_ns; /* a VM's time to return memory */
	const struct broker_policy *policy;
};

struct accounts {
	struct accounts_config config;
	void *policy_state;
	uint64_t next_id;
	uint64_t host_free, host_psi_some, host_psi_full; /* of the last accounts_host() */
	struct accounts_vm vms[ACCOUNTS_VMS_MAX];
	unsigned count;
};

/* -EINVAL with words (a share of 0), -ENOMEM. The caller frees it by accounts_destroy(). */
int accounts_create(const struct accounts_config *config, struct accounts **accounts,
		    struct error *err);
void accounts_destroy(struct accounts *accounts);

/*
 * A VM joins. 0: it has its min. -EAGAIN: its min is lent to others and is recalled; the VM waits
 * until accounts_tick() gives it to it or refuses it. -ENOSPC with words that name what is missing,
 * -EEXIST (the name is taken), -EINVAL, -E2BIG with words. @held, for a VM whose lease was
 * restored, is what it holds. *@vm: its entry, until accounts_leave().
 */
struct accounts_join {
	const char *name;
	uint64_t min, max, weight, held;
};
int accounts_join(struct accounts *accounts, const struct accounts_join *join, uint64_t now_ns,
		  struct accounts_vm **vm, struct error *err);
/* The words for a VM that accounts_tick() refused. -ENOSPC. */
int accounts_refusal(const struct accounts *accounts, const struct accounts_vm *vm,
		     struct error *err);
/*
 * The lease of a VM of an earlier broker, which is expected to join again, as entry @index of vms.
 * NULL: the entry is in use, the name is taken, or a value is impossible.
 */
struct accounts_vm *accounts_restore(struct accounts *accounts, unsigned index,
				     const struct accounts_join *join, uint64_t granted,
				     uint64_t now_ns);
/* The connection is lost; the VM's process may live. A VM that waits is gone at once. */
void accounts_lose(struct accounts *accounts, struct accounts_vm *vm, uint64_t now_ns);
/* The VM's process has ended: all that it had is free. */
void accounts_leave(struct accounts *accounts, struct accounts_vm *vm);

/* What @vm says. Values beyond ACCOUNTS_BYTES_MAX are limited to it. */
void accounts_demand(struct accounts *accounts, struct accounts_vm *vm,
		     const struct accounts_demand *demand);
/* What the account of @vm says. @enforced: its ceiling (memory.high) is in force. */
void accounts_used(struct accounts_vm *vm, uint64_t used, bool enforced);
/* The memory pressure of the VM's control group, in hundredths of a percent. */
void accounts_pressure(struct accounts_vm *vm, uint64_t some, uint64_t full);
/* What the host says: available memory, and its PSI in hundredths of a percent. */
void accounts_host(struct accounts *accounts, uint64_t free, uint64_t psi_some, uint64_t psi_full);

/*
 * Asks the policy, recalls and grants. Then each vm->tell is set whose lease changed. Call it
 * regularly, and after each event for which a VM waits. Calls @refused for each VM that waited in
 * vain, which the callee may let leave.
 */
void accounts_tick(struct accounts *accounts, uint64_t now_ns,
		   void (*refused)(void *opaque, struct accounts_vm *vm), void *opaque);
/* Grants what became free, without asking the policy again. */
void accounts_settle(struct accounts *accounts);

/* The share less all charges; 0 if they exceed it. */
uint64_t accounts_free(const struct accounts *accounts);
struct accounts_vm *accounts_find(struct accounts *accounts, const char *name);
/* Why @vm has what it has, in one line, whatever it is. Returns @text. */
const char *accounts_explain(const struct accounts *accounts, const struct accounts_vm *vm,
			     uint64_t now_ns, char *text, size_t size);
/* What the policy knows about @vm beyond that, in one line; "" if it says nothing. Returns @text.
 */
const char *accounts_explain_policy(const struct accounts *accounts, const struct accounts_vm *vm,
				    char *text, size_t size);

#endif
