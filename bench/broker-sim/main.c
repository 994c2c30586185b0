// SPDX-License-Identifier: BSD-2-Clause
/*
 * broker-sim [HOSTS [HOURS]]: how many VMs a host holds with each policy of the broker, if VMs may
 * be short of memory for 1 % of their time. It runs the broker's own accounts and policies with a
 * clock and VMs of its own (docs/design/broker-simulation.md has the model and its limits). No lab,
 * no timing: the same figures on every machine. Prints a table and `result NAME VALUE UNIT` lines.
 *
 * For each policy it looks for the largest number of VMs on a host, by halving. Every VM has a
 * random generator that depends on its host and its number alone, so that all policies see the same
 * demand.
 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/accounts.h"
#include "util/u64.h"

#define MIB	     (1ull << 20)
#define SECOND	     1000000000ull
#define STEP_SECONDS 10u
#define SHARE	     (64ull << 30)
#define VM_MIN	     (128 * MIB)
#define VM_MAX	     (2304 * MIB)
#define VMS_LEAST    8u
#define DAY	     86400.0
#define HEADROOM     20u /* a VM wants a 20th more than it uses */
#define SHORT_PART   50u /* it is short if a 50th of its working set is missing */
#define SHORT_MOST   0.01
#define CLASSES	     3u

static const char *const policies[] = {"static", "proportional", "demand"};
static const char *const classes[CLASSES] = {"days", "bursts", "sandboxes"};

/* Steps of VMs, and those in which they were short, by class. */
struct tally {
	uint64_t steps, shorts;
	uint64_t busy[CLASSES], busy_shorts[CLASSES];
};

struct sim_vm {
	uint64_t random;
	double phase;	   /* of the day, for a VM with days and nights */
	double busy_until; /* seconds, for one with bursts */
	double idle_until;
	bool busy;
	uint64_t need, swap_ins;
	struct accounts_vm *account;
};

static double random_unit(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (double)(*state >> 11) / 9007199254740992.0;
}

static double random_wait(uint64_t *state, double mean)
{
	return -mean * log(1.0 - random_unit(state));
}

/* Two states of exponential lengths: idle, and busy with all of @most. */
static double burst_mib(struct sim_vm *vm, double now, double idle, double busy, double most)
{
	while (now >= vm->busy_until) {
		vm->idle_until = vm->busy_until + random_wait(&vm->random, idle);
		vm->busy_until = vm->idle_until + random_wait(&vm->random, busy);
	}
	vm->busy = now >= vm->idle_until;
	return vm->busy ? most : 96;
}

static double day_mib(struct sim_vm *vm, double now)
{
	double sun = sin(2 * M_PI * (now / DAY + vm->phase));

	vm->busy = sun > 0;
	return 128 + 1024 * fmax(0, sun);
}

/* Of ten VMs four have days and nights, three have bursts, three are sandboxes. */
static unsigned class_of(unsigned number)
{
	return number % 10 < 4 ? 0 : number % 10 < 7 ? 1 : 2;
}

/* The working set now. */
static uint64_t demand_bytes(struct sim_vm *vm, unsigned number, double now)
{
	double mib = class_of(number) == 0   ? day_mib(vm, now)
		     : class_of(number) == 1 ? burst_mib(vm, now, 1800, 600, 1024)
					     : burst_mib(vm, now, 3600, 180, 2048);

	return (uint64_t)(mib * (0.95 + 0.1 * random_unit(&vm->random))) * MIB;
}

static void vm_begin(struct sim_vm *vm, unsigned host, unsigned number)
{
	*vm = (struct sim_vm){.random = 0x9e3779b97f4a7c15ull * (host * 1000ull + number + 1)};
	for (unsigned i = 0; i < 8; i++)
		random_unit(&vm->random);
	/* Most users are in one time zone. */
	vm->phase = random_unit(&vm->random) < 0.6 ? 0 : random_unit(&vm->random);
}

/* What the VM says about its need. It returns a step later what was recalled. */
static void vm_say(struct accounts *accounts, struct sim_vm *vm, unsigned number, double now)
{
	uint64_t has = vm->account->lease.granted;
	struct accounts_demand demand = {.serial = vm->account->serial,
					 .held = vm->account->told,
					 .miss_ns = 100000,
					 .swap_ins = vm->swap_ins};

	vm->need = demand_bytes(vm, number, now);
	demand.want = vm->need + vm->need / HEADROOM;
	demand.idle = has > vm->need ? has - vm->need : 0;
	accounts_demand(accounts, vm->account, &demand);
	accounts_used(vm->account, u64_min(vm->need, has), true);
}

/* What it loses in this step with what it has now. True if it is short. */
static bool vm_lose(struct sim_vm *vm)
{
	uint64_t has = vm->account->lease.granted;
	uint64_t missing = vm->need > has ? vm->need - has : 0;

	/* It touches its working set once in ten seconds. */
	vm->swap_ins += missing / 4096 * STEP_SECONDS / 10;
	return missing > vm->need / SHORT_PART;
}

static void never_refused(void *opaque, struct accounts_vm *vm)
{
}

static void vms_count(const struct sim_vm *vms, unsigned number, bool is_short, struct tally *tally)
{
	unsigned class = class_of(number);

	tally->steps++;
	tally->shorts += is_short;
	tally->busy[class] += vms[number].busy;
	tally->busy_shorts[class] += vms[number].busy && is_short;
}

/* One host for so many steps. False: the VMs do not even join. */
static bool host_run(const struct broker_policy *policy, unsigned host, unsigned count,
		     unsigned steps, struct tally *tally)
{
	const struct accounts_config config = {
		.share = SHARE, .recall_ns = 10 * SECOND, .policy = policy};
	struct sim_vm vms[ACCOUNTS_VMS_MAX];
	struct accounts *accounts;
	struct error err;
	bool joined = true;

	if (accounts_create(&config, &accounts, &err) < 0)
		return false;
	for (unsigned i = 0; i < count && joined; i++) {
		char name[16];
		const struct accounts_join join = {name, VM_MIN, VM_MAX, 100, 0};

		snprintf(name, sizeof(name), "vm%u", i);
		vm_begin(&vms[i], host, i);
		joined = accounts_join(accounts, &join, SECOND, &vms[i].account, &err) == 0;
	}
	for (unsigned step = 1; step <= steps && joined; step++) {
		for (unsigned i = 0; i < count; i++)
			vm_say(accounts, &vms[i], i, step * (double)STEP_SECONDS);
		accounts_tick(accounts, (1 + step * (uint64_t)STEP_SECONDS) * SECOND, never_refused,
			      NULL);
		for (unsigned i = 0; i < count; i++)
			vms_count(vms, i, vm_lose(&vms[i]), tally);
	}
	accounts_destroy(accounts);
	return joined;
}

/* The largest part of its busy time for which a class is short. */
static double worst_class(const struct tally *tally)
{
	double worst = 0;

	for (unsigned i = 0; i < CLASSES; i++)
		if (tally->busy[i])
			worst = fmax(worst, (double)tally->busy_shorts[i] / tally->busy[i]);
	return worst;
}

static double all_time(const struct tally *tally)
{
	return tally->steps ? (double)tally->shorts / tally->steps : 1;
}

struct plan {
	unsigned hosts, steps;
	double (*measure)(const struct tally *tally);
};

/* The most VMs on a host for which the measure is SHORT_MOST; 0: not even VMS_LEAST. */
static unsigned vms_most(const struct broker_policy *policy, const struct plan *plan,
			 struct tally *best)
{
	unsigned good = VMS_LEAST - 1, bad = ACCOUNTS_VMS_MAX + 1;

	*best = (struct tally){0};
	while (bad - good > 1) {
		unsigned middle = good + (bad - good) / 2;
		struct tally tally = {0};
		bool joined = true;

		for (unsigned host = 0; host < plan->hosts && joined; host++)
			joined = host_run(policy, host, middle, plan->steps, &tally);
		if (joined && plan->measure(&tally) <= SHORT_MOST) {
			good = middle;
			*best = tally;
		} else {
			bad = middle;
		}
	}
	return good < VMS_LEAST ? 0 : good;
}

static bool number_parse(const char *text, unsigned most, unsigned *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*number = (unsigned)value;
	return *text >= '0' && *text <= '9' && *end == '\0' && value >= 1 && value <= most;
}

static void row_print(const char *policy, unsigned most, unsigned strict, const struct tally *tally)
{
	printf("%-14s %12u %12u", policy, most, strict);
	for (unsigned i = 0; i < CLASSES; i++)
		printf(" %9.1f %%",
		       tally->busy[i] ? 100.0 * tally->busy_shorts[i] / tally->busy[i] : 0);
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned hosts = 20, hours = 24, most[3], strict[3];
	struct tally tally, unused;

	if (argc > 3 || (argc > 1 && !number_parse(argv[1], 1000, &hosts)) ||
	    (argc > 2 && !number_parse(argv[2], 240, &hours))) {
		fprintf(stderr, "usage: broker-sim [HOSTS (1 to 1000) [HOURS (1 to 240)]]\n");
		return 2;
	}
	printf("%u hosts, %u hours, a share of %llu GiB; full size: %llu VMs a host\n", hosts,
	       hours, SHARE >> 30, SHARE / VM_MAX);
	printf("%-14s %12s %12s   then short of busy time:\n%-14s %12s %12s", "VMs a host",
	       "1 % of", "1 % of busy", "", "all time", "time, worst");
	for (unsigned i = 0; i < CLASSES; i++)
		printf(" %11s", classes[i]);
	printf("\n");
	for (unsigned i = 0; i < 3; i++) {
		const struct broker_policy *policy = broker_policy_find(policies[i]);
		struct plan plan = {hosts, hours * 3600 / STEP_SECONDS, worst_class};

		strict[i] = vms_most(policy, &plan, &unused);
		plan.measure = all_time;
		most[i] = vms_most(policy, &plan, &tally);
		row_print(policies[i], most[i], strict[i], &tally);
	}
	for (unsigned i = 0; i < 3; i++)
		printf("result broker.vms_a_host_%s %u VMs\nresult "
		       "broker.vms_a_host_worst_class_%s %u "
		       "VMs\n",
		       policies[i], most[i], policies[i], strict[i]);
	printf("result broker.demand_vs_static %.3f ratio\n", (double)most[2] / most[0]);
	printf("result broker.demand_vs_proportional %.3f ratio\n", (double)most[2] / most[1]);
	return 0;
}
