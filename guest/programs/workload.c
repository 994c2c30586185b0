// SPDX-License-Identifier: BSD-2-Clause
/*
 * swap-workload: a working set larger than the guest's RAM, passed over again and again, verified
 * at every touch. Prints one line a pass, what `bench/swap` reads:
 *
 *   touch ROUND pages N swapped N ns_per_page N swap_ins N major N
 *   pass ORDER NUMBER seconds S swap_ins N swap_outs N major N
 *   workload ok|FAILED pages N bad N
 */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "passes.h"

struct options {
	size_t mib;
	size_t touch_mib;
	unsigned int touch_rounds;
	unsigned int rewrite; /* percent of the touched pages */
	unsigned int words;
	unsigned int warm_up; /* passes of each order before the timed ones */
	unsigned int passes;  /* of each order, at most */
	unsigned int seconds; /* for each order: no further pass begins after that */
	const char *gate;     /* wait until this file exists before the timed passes */
};

enum key {
	KEY_TOUCH_ROUNDS = 256,
	KEY_GATE,
};

static const struct argp_option keyval_list[] = {
	{"size", 's', "MIB", 0, "The working set (default: 410)", 0},
	{"touch", 't', "MIB", 0, "First touch after swap-out without pressure (default: 0, none)",
	 0},
	{"touch-rounds", KEY_TOUCH_ROUNDS, "N", 0, "How often (default: 3)", 0},
	{"rewrite", 'r', "PERCENT", 0, "Touched pages that are rewritten (default: 25)", 0},
	{"words", 'w', "N", 0, "Words compared at a touch, 2 to 512 (default: 8)", 0},
	{"warm-up", 'u', "N", 0, "Passes of each order that do not count (default: 1)", 0},
	{"passes", 'p', "N", 0, "Timed passes of each order at most (default: 3)", 0},
	{"seconds", 'n', "N", 0, "No further pass of an order after that time (default: 60)", 0},
	{"gate", KEY_GATE, "FILE", 0, "Fill, then wait for FILE", 0},
	{0},
};

/* A decimal number in [low, high], or an argp error that names the option. */
static unsigned long parse_number(const char *text, const char *what, unsigned long low,
				  unsigned long high, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < low || value > high)
		argp_error(state, "%s: '%s' is no number from %lu to %lu", what, text, low, high);
	return value;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 's':
		options->mib = parse_number(argument, "--size", 0, 1 << 20, state);
		break;
	case 't':
		options->touch_mib = parse_number(argument, "--touch", 0, 1 << 20, state);
		break;
	case KEY_TOUCH_ROUNDS:
		options->touch_rounds = parse_number(argument, "--touch-rounds", 1, 1000, state);
		break;
	case 'r':
		options->rewrite = parse_number(argument, "--rewrite", 0, 100, state);
		break;
	case 'w':
		options->words = parse_number(argument, "--words", 2, PAGE_WORDS, state);
		break;
	case 'u':
		options->warm_up = parse_number(argument, "--warm-up", 0, 1000, state);
		break;
	case 'p':
		options->passes = parse_number(argument, "--passes", 1, 1000, state);
		break;
	case 'n':
		options->seconds = parse_number(argument, "--seconds", 1, 86400, state);
		break;
	case KEY_GATE:
		options->gate = argument;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Touch each page, or as many pages at random; returns how many were bad. */
static size_t pass(struct region *region, struct pass_order *order, unsigned int round)
{
	size_t bad = 0;

	for (size_t i = 0; i < region->pages; i++)
		bad += !pass_step(region, order, round);
	return bad;
}

static size_t passes(struct region *region, const struct options *options, bool at_random)
{
	const char *order = at_random ? "random" : "sequential";
	struct pass_order way = {
		.at_random = at_random,
		.random = at_random ? 7 : 3,
		.words = options->words,
		.rewrite = options->rewrite,
	};
	uint64_t begin = 0;
	size_t bad = 0;

	for (unsigned int round = 0; round < options->warm_up + options->passes; round++) {
		struct pass_result result;

		if (round == options->warm_up)
			begin = clock_ns();
		if (begin && round > options->warm_up &&
		    clock_ns() - begin > options->seconds * 1000000000ull)
			break;
		pass_begin(&result);
		bad += pass(region, &way, round);
		pass_end(&result);
		printf("%s %s %u seconds %.4f swap_ins %" PRIu64 " swap_outs %" PRIu64
		       " major %" PRIu64 "\n",
		       round < options->warm_up ? "warm-up" : "pass", order, round,
		       (double)result.ns / 1e9, result.counted.swap_in, result.counted.swap_out,
		       result.counted.major_faults);
		fflush(stdout);
	}
	return bad;
}

static size_t first_touch(const struct options *options, unsigned int round)
{
	struct pass_result result;

	pass_first_touch(options->touch_mib * PAGES_PER_MIB, REGION_DISTINCT, &result);
	printf("touch %u pages %zu swapped %zu ns_per_page %" PRIu64 " swap_ins %" PRIu64
	       " major %" PRIu64 "\n",
	       round, result.pages, result.swapped, result.pages ? result.ns / result.pages : 0,
	       result.counted.swap_in, result.counted.major_faults);
	fflush(stdout);
	return result.bad;
}

static size_t working_set(const struct options *options, struct region *region)
{
	uint64_t start = clock_ns();
	size_t bad = 0;

	region_write(region);
	printf("filled seconds %.4f\n", (double)(clock_ns() - start) / 1e9);
	fflush(stdout);
	while (options->gate && access(options->gate, F_OK) != 0)
		usleep(100000);
	bad += passes(region, options, false);
	bad += passes(region, options, true);
	return bad + region_check(region);
}

int main(int argc, char **argv)
{
	struct options options = {
		.mib = 410,
		.touch_rounds = 3,
		.rewrite = 25,
		.words = 8,
		.warm_up = 1,
		.passes = 3,
		.seconds = 60,
	};
	static const struct argp argp = {
		.options = keyval_list,
		.parser = parse_option,
		.doc = "Pass over a working set again and again, and verify it.",
	};
	struct region region = {0};
	size_t bad = 0;

	if (argp_parse(&argp, argc, argv, 0, NULL, &options))
		return 2;
	for (unsigned int round = 0; options.touch_mib && round < options.touch_rounds; round++)
		bad += first_touch(&options, round);
	if (options.mib) {
		int error = region_create(&region, options.mib * PAGES_PER_MIB, (uint32_t)getpid());

		if (error) {
			fprintf(stderr, "swap-workload: %s\n", strerror(-error));
			return 1;
		}
		bad += working_set(&options, &region);
	}
	printf("workload %s pages %zu bad %zu\n", bad ? "FAILED" : "ok", region.pages, bad);
	return bad ? 1 : 0;
}
