/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A swap policy decides how a swap-in is served, and when RAM that was granted is taken back. It is
 * one file with one constant struct in a linker section. Its functions depend only on their
 * arguments, so that they can be tested without a guest and without a host, and so that other
 * programs can link them. swap/manager.c carries the decisions out.
 */
#ifndef SYMVM_SWAP_POLICY_H
#define SYMVM_SWAP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <symbiotic/abi.h>

#include "swap/policy/shrink.h"
#include "util/registry.h"

#define SWAP_PAGE	  4096ull
#define SWAP_CREDIT_MAX	  0xffffffu
#define SWAP_WEIGHT_USUAL 100u

/* Every decision has one reason, and is counted by it. X(name, what it says) */
#define SWAP_REASONS(X)                                                                          \
	X(OFF, "off", "the policy is off")                                                       \
	X(COPY, "copy", "copied: the policy")                                                    \
	X(COPY_UNASKED, "copy-unasked", "copied: the guest did not say what it needs")           \
	X(COPY_COLD, "copy-cold", "copied: read once, it does not come back")                    \
	X(COPY_LIGHT, "copy-light", "copied: room is short, and the cgroup's weight is low")     \
	X(GRANT_GIVEN, "grant-given", "granted: RAM was given")                                  \
	X(GRANT_PENDING, "grant-pending", "granted: RAM given before is still on its way")       \
	X(GRANT_ENOUGH, "grant-enough", "no grant: free RAM is there already")                   \
	X(GRANT_NO_DEVICE, "grant-no-device", "no grant: no virtio-mem, or no driver")           \
	X(GRANT_STALLED, "grant-stalled", "no grant: the guest does not plug what it was given") \
	X(GRANT_MAX, "grant-max", "no grant: the VM's maximum is reached")                       \
	X(GRANT_BUDGET, "grant-budget", "no grant: the VM's budget is used up")                  \
	X(GRANT_PRESSURE, "grant-pressure", "no grant: the host is short of memory")             \
	X(GRANT_MEMCG, "grant-memcg", "no grant: its cgroup's own limit makes it swap")          \
	X(GRANT_CACHE, "grant-cache", "no grant: the guest has page cache to give up instead")   \
	X(MAP_GIVEN, "map-given", "mapped")                                                      \
	X(MAP_CANNOT, "map-cannot", "not mapped: asked too late, or no user's fault")            \
	X(MAP_SHARED, "map-shared", "not mapped: several mappings share it")                     \
	X(MAP_MEMCG, "map-memcg", "not mapped: its cgroup has a limit, which must count it")

enum swap_reason {
#define SWAP_REASON_ENUM(name, text, help) SWAP_REASON_##name,
	SWAP_REASONS(SWAP_REASON_ENUM)
#undef SWAP_REASON_ENUM
		SWAP_REASON_COUNT
};

/*
 * The facts that a policy decides by. Sizes are in bytes and bounded, so that sums do not overflow.
 */
struct swap_situation {
	struct sym_swap_query query; /* the guest's words, checked for form only */
	bool asked;		     /* query is there */
	uint32_t hints;		     /* SYM_SWAP_DECIDE_* */

	/* Since the query before this one; 0 at the first. */
	uint64_t swap_ins;
	uint64_t refaults;
	bool first;

	/* RAM beyond the boot-time RAM. */
	bool can_grow; /* virtio-mem with its driver */
	bool stalled;  /* the guest has not plugged RAM that was given long ago */
	uint64_t limit;
	uint64_t requested;
	uint64_t plugged;
	uint64_t block_size;

	uint64_t room; /* what the budget leaves; UINT64_MAX: no budget */
	bool pressed;  /* the host is short of memory */
};

struct swap_decision {
	uint32_t kind;	 /* SYM_VERDICT_* */
	uint32_t credit; /* swap-ins after this one */
	uint32_t around; /* pages, for MAP */
	enum swap_reason reason;
	uint64_t grow; /* bytes of RAM to give: GRANT */
};

/*
 * The manager calls one function of a VM's policy at a time, from any thread. @state: state_size
 * bytes of the policy's own for each VM, zero when the policy is set; NULL if state_size is 0. No
 * function may wait, take a lock or read a clock.
 */
struct swap_policy {
	const char *name; /* "grant" */
	const char *help; /* one line */
	/* 1 << SYM_VERDICT_* that it may give, SYM_SWAP_ASK_OUT; 0: the guest never asks. */
	uint32_t verdicts;
	size_t state_size;
	/*
	 * Whether the guest's answer to a query could change the decision; the query costs one more
	 * exit. @situation has no query yet. NULL: never.
	 */
	bool (*wants_query)(void *state, const struct swap_situation *situation);
	/* @decision is COPY without credit at first. */
	void (*decide)(void *state, const struct swap_situation *situation,
		       struct swap_decision *decision);
	/*
	 * Once a second: how much RAM is requested of virtio-mem from now on, in *@requested, and
	 * why it is less than before. @shrink is the history that swap_policy_shrink() keeps.
	 */
	enum swap_shrink_reason (*shrink)(void *state, struct swap_shrink *shrink,
					  const struct swap_shrink_view *view, uint64_t *requested);
};
#define SWAP_POLICY(object) REGISTRY_ENTRY(symvm_swap_policies, struct swap_policy, object)

/* By name, or NULL. Any thread. */
const struct swap_policy *swap_policy_find(const char *name);
/* "auto, copy, grant, map, off", or as much as @size has room for. */
void swap_policy_names(char *text, size_t size);
/* "grant-given", and what it means. */
const char *swap_reason_name(enum swap_reason reason);
const char *swap_reason_help(enum swap_reason reason);

/*
 * The shared parts of policies. Each fills @decision and returns true if it applies; otherwise it
 * sets the reason why not and leaves the rest.
 */
bool swap_policy_grant(const struct swap_situation *situation, struct swap_decision *decision);
bool swap_policy_map(const struct swap_situation *situation, struct swap_decision *decision);
/* The decision about a swap-out (SYM_SWAP_DECIDE_OUT), for policies with SYM_SWAP_ASK_OUT. */
void swap_policy_grant_early(const struct swap_situation *situation,
			     struct swap_decision *decision);
/* wants_query of a policy that only grants: whether the host could give RAM now. */
bool swap_policy_can_grant(void *state, const struct swap_situation *situation);
/* wants_query of a policy that may map: always. */
bool swap_policy_always_asks(void *state, const struct swap_situation *situation);
/* The shrink function of policies without one of their own: swap_shrink_tick(). */
enum swap_shrink_reason swap_policy_shrink(void *state, struct swap_shrink *shrink,
					   const struct swap_shrink_view *view,
					   uint64_t *requested);
/* A copy with @credit, scaled by the cgroup's weight. Keeps the reason. */
void swap_policy_copy(const struct swap_situation *situation, struct swap_decision *decision,
		      uint32_t credit);
/* Whether swapped-out pages come back at once: refaults, not a stream that is read once. */
bool swap_policy_returns(const struct swap_situation *situation);

#endif
