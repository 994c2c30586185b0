// SPDX-License-Identifier: BSD-2-Clause
#include "swap/manager.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <symbiotic/symcall.h>

#include "devices/virtio/mem.h"
#include "machine/report.h"
#include "machine/service.h"
#include "machine/vm.h"
#include "util/psi.h"
#include "swap/policy/policy.h"
#include "swap/policy/shrink.h"

#define NAME	      "swap-decide"
#define TICK_SECONDS  1
#define STALL_TICKS   5u    /* without progress of the guest's plugging */
#define PRESSED_ABOVE 1000u /* "some avg10", hundredths of a percent */
#define RELAXED_BELOW 500u
#define SIZE_MAX_SANE (1ull << 46)

struct decide {
	struct vm *vm;
	const struct swap_store_ops *store; /* constant once vCPUs run */
	void *store_opaque;
	int pressure_fds[2]; /* -1: none */
	int timer_fd;
	struct event_source *source;

	pthread_mutex_t lock; /* guards the rest; never held while the guest is asked */
	const struct swap_policy *policy;
	bool known; /* the guest's counters below */
	uint64_t last_swap_in, last_refault;
	uint64_t last_plugged;
	unsigned stalled_ticks;
	struct psi pressure;
	bool pressed;
	struct swap_reclaim reclaim;
	uint64_t decisions[SWAP_REASON_COUNT];
	uint64_t taken[SWAP_RECLAIM_COUNT]; /* times */
	uint64_t given_bytes, taken_bytes;
	uint64_t asked, unanswered;
};

static const char *const taken_names[SWAP_RECLAIM_COUNT] = {
	[SWAP_RECLAIM_NONE] = "none",
	[SWAP_RECLAIM_IDLE] = "idle",
	[SWAP_RECLAIM_PRESSURE] = "pressure",
	[SWAP_RECLAIM_BUDGET] = "budget",
};

/* A guest's number, made one that sums and products of cannot overflow. */
static void bound(uint64_t *value, uint64_t most)
{
	if (*value > most)
		*value = most;
}

/* The guest's words: whatever it says, they are possible. */
static void query_bound(struct sym_swap_query *query)
{
	bound(&query->mem_total, SIZE_MAX_SANE);
	bound(&query->mem_free, query->mem_total);
	bound(&query->mem_available, query->mem_total);
	bound(&query->high_watermark, query->mem_total);
	bound(&query->swap_used, SIZE_MAX_SANE);
	if (query->weight < 1)
		query->weight = 1;
	if (query->weight > 10000)
		query->weight = 10000;
}

/* Asks the guest in the doorbell that it rang. The lock is not held: guest code runs. */
static bool guest_ask(struct sym_vcpu *vcpu, struct sym_swap_query *query)
{
	const struct sym_call_request request = {
		.number = SYM_CALL_SWAP_QUERY,
		.message = query,
		.message_size = sizeof(*query),
	};
	struct sym_call_result result;

	if (sym_call_safepoint(vcpu, &request, &result) < 0 ||
	    result.value != (int64_t)sizeof(*query) || result.message_length != sizeof(*query))
		return false;
	query_bound(query);
	return true;
}

uint64_t swap_ram_bytes(struct vm *vm)
{
	struct virtio_mem_state mem = {0};

	virtio_mem_get(vm, &mem);
	return vm->memory.ram_size + (mem.requested > mem.plugged ? mem.requested : mem.plugged);
}

/* What the budget leaves, and by how much it is exceeded. */
static uint64_t budget_room(struct decide *decide, uint64_t *over)
{
	uint64_t budget = 0, slots = 0, used;

	*over = 0;
	if (decide->store)
		decide->store->usage(decide->store_opaque, &budget, &slots);
	if (budget == 0)
		return UINT64_MAX;
	used = swap_ram_bytes(decide->vm) + slots;
	if (used > budget)
		*over = used - budget;
	return used < budget ? budget - used : 0;
}

static void situation_host(struct decide *decide, struct swap_situation *situation)
{
	struct virtio_mem_state mem = {0};
	uint64_t over;

	virtio_mem_get(decide->vm, &mem);
	situation->can_grow = mem.driver;
	situation->limit = mem.limit;
	situation->requested = mem.requested;
	situation->plugged = mem.plugged;
	situation->block_size = mem.block_size ? mem.block_size : SWAP_PAGE;
	situation->room = budget_room(decide, &over);
	pthread_mutex_lock(&decide->lock);
	situation->pressed = decide->pressed;
	situation->stalled = decide->stalled_ticks >= STALL_TICKS;
	pthread_mutex_unlock(&decide->lock);
}

static uint64_t progress(uint64_t now, uint64_t before)
{
	uint64_t pages = now > before ? now - before : 0;

	bound(&pages, SIZE_MAX_SANE / SWAP_PAGE);
	return pages;
}

/* How far the guest's counters went since it was asked last. The lock is held. */
static void situation_history(struct decide *decide, struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;

	/* A guest that was rebooted counts anew. */
	if (query->swap_in < decide->last_swap_in)
		decide->known = false;
	situation->first = !decide->known;
	if (decide->known) {
		situation->swap_ins = progress(query->swap_in, decide->last_swap_in);
		situation->refaults = progress(query->refault_anon, decide->last_refault);
	}
	decide->known = true;
	decide->last_swap_in = query->swap_in;
	decide->last_refault = query->refault_anon;
}

/* Gives what was decided on the sum of @requested; another vCPU may have given meanwhile. */
static void grant(struct decide *decide, uint64_t requested, uint64_t grow)
{
	struct virtio_mem_state mem;

	decide->reclaim.calm = 0;
	if (virtio_mem_get(decide->vm, &mem) < 0 || mem.requested >= requested + grow)
		return;
	if (virtio_mem_request(decide->vm, requested + grow) == 1)
		decide->given_bytes += requested + grow - mem.requested;
}

static uint64_t doorbell_decide(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
				const uint64_t request[6])
{
	struct decide *decide = opaque;
	struct swap_situation situation = {.hints = (uint32_t)request[2]};
	struct swap_decision decision = {.kind = SYM_VERDICT_COPY, .reason = SWAP_REASON_COPY};
	const struct swap_policy *policy;
	bool asks;

	pthread_mutex_lock(&decide->lock);
	policy = decide->policy;
	pthread_mutex_unlock(&decide->lock);
	situation_host(decide, &situation);
	asks = swap_policy_asks(policy, &situation);
	if (asks)
		situation.asked = guest_ask(vcpu, &situation.query);
	pthread_mutex_lock(&decide->lock);
	decide->asked += asks;
	decide->unanswered += asks && !situation.asked;
	if (situation.asked)
		situation_history(decide, &situation);
	policy->decide(&situation, &decision);
	if (decision.grow)
		grant(decide, situation.requested, decision.grow);
	decide->decisions[decision.reason]++;
	pthread_mutex_unlock(&decide->lock);
	return SYM_VERDICT(decision.kind, decision.credit, decision.around);
}

/* The worse of the VM's own cgroup and the machine. */
static void pressure_update(struct decide *decide)
{
	struct psi worst = {0};

	for (unsigned i = 0; i < 2; i++) {
		struct psi one = psi_read(decide->pressure_fds[i]);

		worst.some = one.some > worst.some ? one.some : worst.some;
		worst.full = one.full > worst.full ? one.full : worst.full;
	}
	decide->pressure = worst;
	if (worst.some >= PRESSED_ABOVE)
		decide->pressed = true;
	else if (worst.some < RELAXED_BELOW)
		decide->pressed = false;
}

/*
 * Linux adds memory in blocks of 128 MiB, each of which needs 2 MiB in one piece for its page
 * structures. A guest that swaps does not find them for minutes: the first block is there before,
 * by the smallest request that adds it.
 */
static uint64_t primer(const struct decide *decide, const struct virtio_mem_state *mem)
{
	bool grants = decide->policy->verdicts & 1u << SYM_VERDICT_GRANT;

	return grants && mem->driver && mem->limit >= mem->block_size ? mem->block_size : 0;
}

static void prime(struct decide *decide, struct virtio_mem_state *mem)
{
	uint64_t least = primer(decide, mem);

	if (mem->floor < least)
		mem->floor = least;
	if (mem->requested < least && virtio_mem_request(decide->vm, least) == 1)
		mem->requested = least;
}

static void take_back(struct decide *decide, const struct virtio_mem_state *mem, uint64_t over)
{
	struct swap_reclaim_view view = {
		.boot = decide->vm->memory.ram_size,
		.requested = mem->requested,
		.plugged = mem->plugged,
		.floor = mem->floor,
		.block_size = mem->block_size,
		.over_budget = over,
		.pressed = decide->pressed,
	};
	struct sym_spy_vm_guest guest;
	enum swap_reclaim_reason reason;
	uint64_t requested = mem->requested;

	if (sym_vm_spy_read(decide->vm->symbiotic, &guest) == 0)
		view.mem_free = guest.mem_free;
	bound(&view.mem_free, view.boot + view.plugged);
	reason = swap_reclaim_tick(&decide->reclaim, &view, &requested);
	if (reason == SWAP_RECLAIM_NONE || virtio_mem_request(decide->vm, requested) != 1)
		return;
	decide->taken[reason]++;
	decide->taken_bytes += mem->requested - requested;
}

/* The guest plugs in its own time, but is kept at it: what it lacks most now is memory to do so. */
static void follow_plugging(struct decide *decide, const struct virtio_mem_state *mem)
{
	if (mem->requested > mem->plugged && mem->plugged == decide->last_plugged) {
		decide->stalled_ticks++;
		virtio_mem_remind(decide->vm);
	} else {
		decide->stalled_ticks = 0;
	}
	decide->last_plugged = mem->plugged;
}

static void tick(void *opaque, uint32_t events)
{
	struct decide *decide = opaque;
	struct virtio_mem_state mem;
	uint64_t count, over;

	if (read(decide->timer_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	budget_room(decide, &over);
	pthread_mutex_lock(&decide->lock);
	pressure_update(decide);
	if (virtio_mem_get(decide->vm, &mem) == 0) {
		follow_plugging(decide, &mem);
		prime(decide, &mem);
		take_back(decide, &mem, over);
	}
	pthread_mutex_unlock(&decide->lock);
}

static const struct service_ops decide_ops;

static struct decide *find(struct vm *vm)
{
	return service_find(vm, &decide_ops);
}

int swap_policy_set(struct vm *vm, const char *name, struct error *err)
{
	const struct swap_policy *policy = swap_policy_find(name);
	struct decide *decide = find(vm);
	char names[128];

	if (!decide || !decide->store)
		return error_set(err, -EOPNOTSUPP, "this VM has no slot store (--swap)");
	if (!policy) {
		swap_policy_names(names, sizeof(names));
		return error_set(err, -EINVAL, "policy: '%s' is none of %s", name, names);
	}
	pthread_mutex_lock(&decide->lock);
	decide->policy = policy;
	decide->known = false;
	decide->store->set_verdicts(decide->store_opaque, policy->verdicts);
	pthread_mutex_unlock(&decide->lock);
	return 0;
}

static void pressure_close(struct decide *decide)
{
	for (unsigned i = 0; i < 2; i++) {
		if (decide->pressure_fds[i] >= 0)
			close(decide->pressure_fds[i]);
		decide->pressure_fds[i] = -1;
	}
}

int swap_decide_attach(struct vm *vm, const struct swap_store_ops *ops, void *opaque,
		       const char *policy, const char *pressure, struct error *err)
{
	struct decide *decide = find(vm);
	int fd;

	if (!decide)
		return error_set(err, -EOPNOTSUPP, "--swap needs the symbiotic interface");
	if (pressure) {
		fd = psi_open(pressure, err);
		if (fd < 0)
			return fd;
		pressure_close(decide);
		decide->pressure_fds[0] = fd;
	}
	decide->store = ops;
	decide->store_opaque = opaque;
	return swap_policy_set(vm, policy ? policy : SWAP_POLICY_DEFAULT, err);
}

json_t *swap_policy_describe(struct vm *vm)
{
	json_t *decisions = json_object(), *taken = json_object(), *object;
	struct decide *decide = find(vm);

	if (!decide || !decide->store) {
		json_decref(decisions);
		json_decref(taken);
		return NULL;
	}
	pthread_mutex_lock(&decide->lock);
	for (unsigned i = 0; i < SWAP_REASON_COUNT; i++)
		if (decide->decisions[i])
			json_object_set_new(decisions, swap_reason_name(i),
					    json_integer((json_int_t)decide->decisions[i]));
	for (unsigned i = SWAP_RECLAIM_IDLE; i < SWAP_RECLAIM_COUNT; i++)
		json_object_set_new(taken, taken_names[i],
				    json_integer((json_int_t)decide->taken[i]));
	object = json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:b}", "policy",
			   decide->policy->name, "decisions", decisions, "taken_back", taken,
			   "given_bytes", (json_int_t)decide->given_bytes, "taken_bytes",
			   (json_int_t)decide->taken_bytes, "asked", (json_int_t)decide->asked,
			   "unanswered", (json_int_t)decide->unanswered, "pressure_some",
			   (int)decide->pressure.some, "pressure_full", (int)decide->pressure.full,
			   "pressed", decide->pressed);
	pthread_mutex_unlock(&decide->lock);
	return object;
}

static void decide_stop(void *state)
{
	struct decide *decide = state;

	event_source_remove(decide->source);
	if (decide->timer_fd >= 0)
		close(decide->timer_fd);
	pressure_close(decide);
	pthread_mutex_destroy(&decide->lock);
	free(decide);
}

static int decide_start(struct vm *vm, void **state, struct error *err)
{
	const struct itimerspec period = {
		.it_interval.tv_sec = TICK_SECONDS,
		.it_value.tv_sec = TICK_SECONDS,
	};
	struct decide *decide = calloc(1, sizeof(*decide));

	if (!decide)
		return error_set(err, -ENOMEM, NAME ": out of memory");
	pthread_mutex_init(&decide->lock, NULL);
	decide->vm = vm;
	decide->policy = swap_policy_find("off");
	decide->pressure_fds[0] = psi_open(NULL, err);
	decide->pressure_fds[1] = psi_open_cgroup();
	decide->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (decide->timer_fd >= 0 && timerfd_settime(decide->timer_fd, 0, &period, NULL) == 0)
		decide->source = event_loop_add(vm->main_loop, decide->timer_fd, EPOLLIN, tick,
						decide);
	if (!decide->source || sym_vm_set_doorbell(vm->symbiotic, SYM_DOORBELL_SWAP_DECIDE,
						   doorbell_decide, decide) < 0) {
		decide_stop(decide);
		return error_set(err, -ENOMEM, NAME ": no timer or no doorbell");
	}
	*state = decide;
	return 0;
}

static const struct service_ops decide_ops = {
	.name = NAME,
	.start = decide_start,
	.stop = decide_stop,
};
SERVICE(decide_ops);

static void decide_metrics(struct vm *vm, FILE *out)
{
	struct decide *decide = find(vm);

	if (!decide || !decide->store)
		return;
	pthread_mutex_lock(&decide->lock);
	metrics_family(out, "symvm_swap_decisions_total", "counter",
		       "Decisions about swap-ins, by reason.");
	for (unsigned i = 0; i < SWAP_REASON_COUNT; i++)
		metrics_sample(out, vm, "symvm_swap_decisions_total", (double)decide->decisions[i],
			       "reason", swap_reason_name(i), NULL);
	metrics_family(out, "symvm_swap_ram_given_bytes_total", "counter",
		       "RAM given so that swapping stops.");
	metrics_sample(out, vm, "symvm_swap_ram_given_bytes_total", (double)decide->given_bytes,
		       NULL);
	metrics_family(out, "symvm_swap_ram_taken_bytes_total", "counter", "RAM asked back.");
	metrics_sample(out, vm, "symvm_swap_ram_taken_bytes_total", (double)decide->taken_bytes,
		       NULL);
	pthread_mutex_unlock(&decide->lock);
}

static void decide_info(struct vm *vm, json_t *object)
{
	json_t *all = swap_policy_describe(vm);

	if (all)
		json_object_update(object, all);
	json_decref(all);
}

static const struct report decide_report = {
	.name = "swap_policy",
	.info = decide_info,
	.metrics = decide_metrics,
};
REPORT(decide_report);
