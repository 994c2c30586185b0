// SPDX-License-Identifier: BSD-2-Clause
#include "swap/policy/shrink.h"

#include "util/u64.h"

#define MIB	   (1ull << 20)
#define CALM_TICKS 30u /* ticks with much free memory before any is taken */
#define CALM_AGAIN 10u /* ticks between the steps after that */
#define STEP_LEAST (16 * MIB)

/* The request less @step, rounded down to whole blocks; not below the floor. */
static uint64_t lowered(const struct swap_shrink_view *view, uint64_t step)
{
	uint64_t to = step < view->requested ? view->requested - step : 0;

	to -= to % view->block_size;
	return u64_max(to, view->floor);
}

/* Free memory beyond what a guest of this size keeps for its next allocations. */
static uint64_t idle_bytes(const struct swap_shrink_view *view)
{
	uint64_t total = view->boot + view->plugged;

	if (view->mem_free < u64_max(total / 4, 4 * STEP_LEAST))
		return 0;
	return view->mem_free - u64_max(total / 8, 2 * STEP_LEAST);
}

static enum swap_shrink_reason idle_tick(struct swap_shrink *shrink,
					 const struct swap_shrink_view *view, uint64_t *requested)
{
	uint64_t idle = idle_bytes(view);

	shrink->calm = idle ? shrink->calm + 1 : 0;
	if (shrink->calm < CALM_TICKS)
		return SWAP_SHRINK_NONE;
	shrink->calm -= CALM_AGAIN;
	*requested = lowered(view, u64_max(idle / 2, STEP_LEAST));
	return SWAP_SHRINK_IDLE;
}

enum swap_shrink_reason swap_shrink_tick(struct swap_shrink *shrink,
					 const struct swap_shrink_view *view, uint64_t *requested)
{
	/* RAM that was asked back before must have come first. */
	bool follows = view->plugged <= view->requested + STEP_LEAST;

	if (view->requested <= view->floor) {
		shrink->calm = 0;
		return SWAP_SHRINK_NONE;
	}
	if (view->over_budget && follows) {
		*requested = lowered(view, view->over_budget);
		return SWAP_SHRINK_BUDGET;
	}
	if (view->pressed && follows) {
		*requested = lowered(view, u64_max(view->requested / 8, STEP_LEAST));
		return SWAP_SHRINK_PRESSURE;
	}
	return idle_tick(shrink, view, requested);
}
