// SPDX-License-Identifier: BSD-2-Clause
/*
 * swap-agent DEVICE: a working set larger than the guest's RAM, passed over as the host says, so
 * that guests with different swap can take turns. Each line from DEVICE is a command; its answer is
 * one line of JSON. Commands:
 *
 *   distinct N            one word in N (a power of two) differs: how well pages compress
 *   touch MIB             first touch of swapped pages, with RAM enough
 *   fill MIB              the working set
 *   run ORDER SECONDS PAGES   pass over it, sequential or random, until that time is over or that
 *                         many pages were touched; verified, 25 % of them rewritten
 *   check                 compare all of it
 *   run-program COMMAND   a shell command; `status` and `ns`
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "passes.h"

#define REWRITE	       25
#define WORDS	       8
#define CLOCK_INTERVAL 256 /* pages between two looks at the clock */
#define TOUCH_MIB_MAX  (1ul << 16)
#define LINE_BYTES     1024

struct agent {
	FILE *out;
	uint32_t distinct;
	struct region region; /* no pages: not filled yet */
	struct pass_order sequential, random;
	unsigned int round;
};

static void answer(struct agent *agent, const struct pass_result *result)
{
	fprintf(agent->out,
		"{\"pages\": %zu, \"bad\": %zu, \"swapped\": %zu, \"ns\": %" PRIu64
		", \"swap_ins\": %" PRIu64 ", \"swap_outs\": %" PRIu64 ", \"major\": %" PRIu64
		", \"faults\": %" PRIu64 "}\n",
		result->pages, result->bad, result->swapped, result->ns, result->counted.swap_in,
		result->counted.swap_out, result->counted.major_faults, result->counted.faults);
	fflush(agent->out);
}

static void refuse(struct agent *agent, const char *why)
{
	fprintf(agent->out, "{\"error\": \"%s\"}\n", why);
	fflush(agent->out);
}

static void command_fill(struct agent *agent, unsigned long mib)
{
	struct pass_result result;
	int error;

	if (agent->region.pages)
		return refuse(agent, "filled already");
	pass_begin(&result);
	error = region_create(&agent->region, mib * PAGES_PER_MIB, (uint32_t)getpid());
	if (error)
		return refuse(agent, strerror(-error));
	agent->region.distinct = agent->distinct;
	region_write(&agent->region);
	pass_end(&result);
	result.pages = agent->region.pages;
	answer(agent, &result);
}

static void command_run(struct agent *agent, struct pass_order *order, double seconds,
			unsigned long pages)
{
	uint64_t most = (uint64_t)(seconds * 1e9), start = clock_ns();
	struct pass_result result;
	size_t done = 0, bad = 0;

	if (agent->region.pages == 0)
		return refuse(agent, "not filled yet");
	pass_begin(&result);
	while (done < pages && clock_ns() - start < most) {
		for (int i = 0; i < CLOCK_INTERVAL && done < pages; i++, done++)
			bad += !pass_step(&agent->region, order, agent->round);
	}
	pass_end(&result);
	agent->round++;
	result.pages = done;
	result.bad = bad;
	answer(agent, &result);
}

static void command_check(struct agent *agent)
{
	struct pass_result result;
	size_t bad;

	pass_begin(&result);
	bad = region_check(&agent->region);
	pass_end(&result);
	result.pages = agent->region.pages;
	result.bad = bad;
	answer(agent, &result);
}

static void command_program(struct agent *agent, const char *command)
{
	struct pass_result result;
	int status;

	pass_begin(&result);
	status = system(command);
	pass_end(&result);
	result.bad = status != 0;
	answer(agent, &result);
}

static void command(struct agent *agent, const char *line)
{
	struct pass_result result;
	unsigned long number;
	double seconds;

	if (sscanf(line, "distinct %lu", &number) == 1 && number >= 1 && number <= PAGE_WORDS &&
	    (number & (number - 1)) == 0) {
		agent->distinct = (uint32_t)number;
		answer(agent, &(struct pass_result){0});
	} else if (sscanf(line, "touch %lu", &number) == 1 && number && number <= TOUCH_MIB_MAX) {
		pass_first_touch(number * PAGES_PER_MIB, agent->distinct, &result);
		answer(agent, &result);
	} else if (sscanf(line, "fill %lu", &number) == 1 && number && number <= TOUCH_MIB_MAX) {
		command_fill(agent, number);
	} else if (sscanf(line, "run sequential %lf %lu", &seconds, &number) == 2 && seconds >= 0) {
		command_run(agent, &agent->sequential, seconds, number);
	} else if (sscanf(line, "run random %lf %lu", &seconds, &number) == 2 && seconds >= 0) {
		command_run(agent, &agent->random, seconds, number);
	} else if (strcmp(line, "check") == 0) {
		command_check(agent);
	} else if (strncmp(line, "run-program ", 12) == 0) {
		command_program(agent, line + 12);
	} else {
		refuse(agent, "no such command");
	}
}

int main(int argc, char **argv)
{
	struct agent agent = {
		.distinct = REGION_DISTINCT,
		.sequential = {.words = WORDS, .rewrite = REWRITE, .random = 3},
		.random = {.at_random = true, .words = WORDS, .rewrite = REWRITE, .random = 7},
	};
	struct termios raw;
	char line[LINE_BYTES];
	FILE *in;

	if (argc != 2) {
		fprintf(stderr, "usage: swap-agent DEVICE\n");
		return 2;
	}
	in = fopen(argv[1], "re");
	agent.out = fopen(argv[1], "we");
	if (!in || !agent.out) {
		fprintf(stderr, "swap-agent: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (tcgetattr(fileno(in), &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(fileno(in), TCSANOW, &raw);
	}
	mlockall(MCL_CURRENT); /* what swaps is the working set, not the one that measures it */
	puts("agent ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\r\n")] = '\0';
		command(&agent, line);
	}
	return 0;
}
