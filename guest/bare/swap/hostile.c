// SPDX-License-Identifier: BSD-2-Clause
/* Touches every slot, claims none or all, overwrites words and header, rings at random. */
#include "window.h"

static uint64_t state = 88172645463325252ull;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint32_t random_word(void)
{
	switch (next() % 4) {
	case 0:
		return (uint32_t)next();
	case 1:
		return SYM_SLOT_RESIDENT;
	default:
		return (uint32_t)(next() % 9) | (next() % 8 ? 0 : SYM_SLOT_DISCARD);
	}
}

static void touch_all(struct window *window, uint32_t word)
{
	for (uint32_t slot = 0; slot < window->count; slot++)
		window->words[slot] = word;
	for (uint32_t slot = 0; slot < window->count; slot++)
		write64(window_slot(window, slot) + (next() & 0xff8), next());
}

static void scribble(struct window *window, unsigned steps)
{
	while (steps--) {
		uint32_t slot = (uint32_t)(next() >> 20) % window->count;

		switch (next() % 8) {
		case 0:
			window_ring(SYM_DOORBELL_SWAP_RESERVE, next() % 4 ? slot : next());
			break;
		case 1:
			window_ring(SYM_DOORBELL_SWAP_FETCH, next() % 4 ? slot : next());
			break;
		case 2:
			write64((uint64_t)window->header + (next() & 0xff8), next());
			break;
		case 3:
			write64(window_slot(window, slot), next());
			break;
		default:
			window->words[slot] = random_word();
		}
	}
}

static void hostile(void)
{
	uint64_t seconds = option_number("seconds", 20);
	uint64_t end = tsc() + seconds * 1000 * tsc_per_ms(), rounds = 0;
	struct window window;

	if (!window_find(&window))
		return;
	while (tsc() < end) {
		touch_all(&window, (uint32_t)rounds % 9);
		scribble(&window, 20000);
		rounds++;
	}
	check(rounds > 0, "%lu rounds", rounds);
}
TEST("swap-hostile", hostile);
