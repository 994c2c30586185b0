// SPDX-License-Identifier: BSD-2-Clause
#include "swap/policy/policy.h"

#include <string.h>

#include "util/u64.h"
#include "util/word_list.h"

REGISTRY_DECLARE(symvm_swap_policies, struct swap_policy);

#define MIB		     (1ull << 20)
#define GRANT_LEAST	     (16 * MIB) /* a plug request, a memory block and its page structs cost more */
#define CREDIT_PENDING	     256u /* swap-ins while the guest plugs */
#define CREDIT_LEAST	     16u
#define CREDIT_MOST	     16384u
#define CREDIT_MAP	     1024u
#define CREDIT_EARLY	     64u /* swap-outs: two clusters of Linux's reclaim */
#define CREDIT_EARLY_REFUSED 1024u
#define EARLY_CACHE_PART     16u
#define AROUND_USUAL	     128u
#define AROUND_WIDE	     512u
#define WIDE_MAPPING	     (16 * MIB)

static const char *const reason_names[] = {
#define REASON_NAME(name, text, help) [SWAP_REASON_##name] = text,
	SWAP_REASONS(REASON_NAME)
#undef REASON_NAME
};

static const char *const reason_helps[] = {
#define REASON_HELP(name, text, help) [SWAP_REASON_##name] = help,
	SWAP_REASONS(REASON_HELP)
#undef REASON_HELP
};

const char *swap_reason_name(enum swap_reason reason)
{
	return reason_names[reason];
}

const char *swap_reason_help(enum swap_reason reason)
{
	return reason_helps[reason];
}

const struct swap_policy *swap_policy_find(const char *name)
{
	const struct swap_policy *const *it;

	REGISTRY_FOR_EACH(symvm_swap_policies, it) {
		if (strcmp((*it)->name, name) == 0)
			return *it;
	}
	return NULL;
}

void swap_policy_names(char *text, size_t size)
{
	const struct swap_policy *const *it;

	text[0] = '\0';
	REGISTRY_FOR_EACH(symvm_swap_policies, it)
		word_list_add(text, size, ", ", (*it)->name);
}

static uint32_t credit_bounded(uint64_t credit)
{
	return (uint32_t)u64_min(u64_max(credit, CREDIT_LEAST), CREDIT_MOST);
}

/* A heavier cgroup asks again later, a lighter one sooner. */
static uint32_t credit_weighted(const struct swap_situation *situation, uint64_t credit)
{
	uint64_t weight = situation->asked ? situation->query.weight : SWAP_WEIGHT_USUAL;

	return credit_bounded(credit * weight / SWAP_WEIGHT_USUAL);
}

void swap_policy_copy(const struct swap_situation *situation, struct swap_decision *decision,
		      uint32_t credit)
{
	decision->kind = SYM_VERDICT_COPY;
	decision->credit = credit_weighted(situation, credit);
}

bool swap_policy_returns(const struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;

	if (!situation->asked)
		return false;
	/* There is nothing to compare with yet, so use what the guest counted since its boot. */
	if (situation->first || situation->swap_ins == 0)
		return query->refault_anon >= query->swap_in / 2;
	return situation->refaults >= situation->swap_ins / 2;
}

/* Free RAM beyond twice the mark at which kswapd sleeps: the second time is for what comes next. */
static uint64_t free_above(const struct sym_swap_query *query)
{
	uint64_t mark = 2 * query->high_watermark;

	return query->mem_free > mark ? query->mem_free - mark : 0;
}

static uint64_t free_missing(const struct sym_swap_query *query)
{
	uint64_t mark = 2 * query->high_watermark;

	return query->mem_free < mark ? mark - query->mem_free : 0;
}

/*
 * How much RAM stops the swapping soon without paying for pages that stay cold: half of the
 * swapped-out pages, or as much as came back since the last query; in any case enough to pass the
 * mark.
 */
static uint64_t grant_size(const struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;
	uint64_t wanted = u64_max(query->swap_used / 2,
				  u64_min(situation->refaults * SWAP_PAGE, query->swap_used));

	wanted = u64_max(wanted + free_missing(query), GRANT_LEAST);
	return u64_round_up(wanted, situation->block_size);
}

/* How much RAM may be given at all. */
static uint64_t grant_room(const struct swap_situation *situation)
{
	uint64_t room = u64_min(situation->limit - situation->requested, situation->room);

	return room - room % situation->block_size;
}

/* Why the host can't give RAM now, or GRANT_GIVEN. */
static enum swap_reason host_check(const struct swap_situation *situation)
{
	if (!situation->can_grow || situation->limit == 0)
		return SWAP_REASON_GRANT_NO_DEVICE;
	if (situation->requested + situation->block_size > situation->limit)
		return SWAP_REASON_GRANT_MAX;
	if (situation->pressed)
		return SWAP_REASON_GRANT_PRESSURE;
	return grant_room(situation) ? SWAP_REASON_GRANT_GIVEN : SWAP_REASON_GRANT_BUDGET;
}

bool swap_policy_can_grant(void *state, const struct swap_situation *situation)
{
	return host_check(situation) == SWAP_REASON_GRANT_GIVEN;
}

bool swap_policy_always_asks(void *state, const struct swap_situation *situation)
{
	return true;
}

enum swap_shrink_reason swap_policy_shrink(void *state, struct swap_shrink *shrink,
					   const struct swap_shrink_view *view, uint64_t *requested)
{
	return swap_shrink_tick(shrink, view, requested);
}

static enum swap_reason grant_check(const struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;
	enum swap_reason host = host_check(situation);

	if (host == SWAP_REASON_GRANT_NO_DEVICE)
		return host;
	if (!situation->asked)
		return host == SWAP_REASON_GRANT_GIVEN ? SWAP_REASON_COPY_UNASKED : host;
	if (query->flags & SYM_SWAP_QUERY_MEMCG)
		return SWAP_REASON_GRANT_MEMCG;
	if (free_above(query) >= GRANT_LEAST)
		return SWAP_REASON_GRANT_ENOUGH;
	if (situation->stalled)
		return SWAP_REASON_GRANT_STALLED;
	/* RAM of the last grant that the guest has not plugged is as good as free. */
	if (situation->requested >= situation->plugged + GRANT_LEAST)
		return SWAP_REASON_GRANT_PENDING;
	if (host == SWAP_REASON_GRANT_GIVEN && query->weight < SWAP_WEIGHT_USUAL &&
	    grant_room(situation) < grant_size(situation))
		return SWAP_REASON_COPY_LIGHT;
	return host;
}

bool swap_policy_grant(const struct swap_situation *situation, struct swap_decision *decision)
{
	decision->reason = grant_check(situation);
	switch (decision->reason) {
	case SWAP_REASON_GRANT_GIVEN:
		decision->grow = u64_min(grant_size(situation), grant_room(situation));
		decision->kind = SYM_VERDICT_GRANT;
		/* The guest asks again when a quarter of it is used up. */
		decision->credit = credit_weighted(situation, decision->grow / SWAP_PAGE / 4);
		return true;
	case SWAP_REASON_GRANT_PENDING:
		decision->kind = SYM_VERDICT_GRANT;
		decision->credit = credit_weighted(situation, CREDIT_PENDING);
		return true;
	case SWAP_REASON_GRANT_ENOUGH:
		decision->kind = SYM_VERDICT_GRANT;
		decision->credit = credit_weighted(situation,
						   free_above(&situation->query) / SWAP_PAGE / 2);
		return true;
	default:
		return false;
	}
}

/* Page cache and slab that the guest could drop instead of swapping. */
static uint64_t cache_size(const struct sym_swap_query *query)
{
	return query->mem_available > query->mem_free ? query->mem_available - query->mem_free : 0;
}

/*
 * A guest that begins to swap out does not say how much it will need. So each step is as large as
 * all that was given before, and the first one an eighth of its memory: a guest that grows has what
 * it needs after a few steps, and one that does not grow has got little.
 */
static uint64_t early_size(const struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;
	uint64_t wanted = u64_max(query->mem_total / 8, situation->requested);

	wanted = u64_max(wanted + free_missing(query), GRANT_LEAST);
	return u64_round_up(wanted, situation->block_size);
}

static enum swap_reason early_check(const struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;

	if (situation->asked &&
	    cache_size(query) >= u64_max(GRANT_LEAST, query->mem_total / EARLY_CACHE_PART))
		return SWAP_REASON_GRANT_CACHE;
	return grant_check(situation);
}

void swap_policy_grant_early(const struct swap_situation *situation, struct swap_decision *decision)
{
	decision->reason = early_check(situation);
	decision->kind = SYM_VERDICT_GRANT;
	switch (decision->reason) {
	case SWAP_REASON_GRANT_GIVEN:
		decision->grow = u64_min(early_size(situation), grant_room(situation));
		decision->credit = CREDIT_EARLY;
		return;
	case SWAP_REASON_GRANT_PENDING:
		decision->credit = CREDIT_EARLY;
		return;
	case SWAP_REASON_GRANT_ENOUGH: /* it may be used up soon, so the guest asks again soon */
		decision->kind = SYM_VERDICT_COPY;
		decision->credit = CREDIT_EARLY;
		return;
	default:
		decision->kind = SYM_VERDICT_COPY;
		decision->credit = CREDIT_EARLY_REFUSED;
	}
}

bool swap_policy_map(const struct swap_situation *situation, struct swap_decision *decision)
{
	const struct sym_swap_query *query = &situation->query;

	if (!situation->asked) {
		decision->reason = SWAP_REASON_COPY_UNASKED;
		return false;
	}
	if (!(situation->hints & SYM_SWAP_DECIDE_CANMAP) ||
	    (query->flags & SYM_SWAP_QUERY_KERNEL)) {
		decision->reason = SWAP_REASON_MAP_CANNOT;
		return false;
	}
	if (situation->hints & SYM_SWAP_DECIDE_SHARED) {
		decision->reason = SWAP_REASON_MAP_SHARED;
		return false;
	}
	/*
	 * Mapped slots are not charged to any cgroup, so mapping would be a way round every limit.
	 */
	if ((query->flags & SYM_SWAP_QUERY_MEMCG) || query->memcg_limit != UINT64_MAX) {
		decision->reason = SWAP_REASON_MAP_MEMCG;
		return false;
	}
	decision->kind = SYM_VERDICT_MAP;
	decision->reason = SWAP_REASON_MAP_GIVEN;
	decision->credit = credit_weighted(situation, CREDIT_MAP);
	decision->around = query->vma_end > query->vma_start &&
					   query->vma_end - query->vma_start >= WIDE_MAPPING
				   ? AROUND_WIDE
				   : AROUND_USUAL;
	return true;
}
