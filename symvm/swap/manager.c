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

#define NAME	      "swap-manager"
#define TICK_SECONDS  1
#define STALL_TICKS   5u    /* ticks without progress of the guest's plugging */
#define PRESSED_ABOVE 1000u /* "some avg10", hundredths of a percent */
#define RELAXED_BELOW 500u
#define SIZE_MAX_SANE (1ull << 46)

struct swap_manager {
	struct vm *vm;
	const struct swap_store_ops *store; /* constant once vCPUs run */
	void *store_opaque;
	int pressure_fds[2]; /* -1: none */
	int timer_fd;
	struct event_source *source;

	pthread_mutex_t lock; /* guards the rest; never held while the guest is asked */
	const struct swap_policy *policy;
	void *policy_state; /* policy->state_size bytes, or NULL */
	bool known;	    /* the guest's counters below are set */
	uint64_t last_swap_in, last_refault;
	uint64_t last_plugged;
	unsigned stalled_ticks;
	struct psi pressure;
	bool pressed;
	struct swap_shrink shrink;
	uint64_t decisions[SWAP_REASON_COUNT];
	uint64_t taken[SWAP_SHRINK_COUNT]; /* times */
	uint64_t given_bytes, taken_bytes;
	uint64_t asked, unanswered;
};

static const char *const taken_names[SWAP_SHRINK_COUNT] = {
	[SWAP_SHRINK_NONE] = "none",
	[SWAP_SHRINK_IDLE] = "idle",
	[SWAP_SHRINK_PRESSURE] = "pressure",
	[SWAP_SHRINK_BUDGET] = "budget",
};

/* Limits a guest's number, so that sums and products of it cannot overflow. */
static void value_bound(uint64_t *value, uint64_t most)
{
	if (*value > most)
		*value = most;
}

/* Limits the guest's answer to possible values, whatever it says. */
static void query_bound(struct sym_swap_query *query)
{
	value_bound(&query->mem_total, SIZE_MAX_SANE);
	value_bound(&query->mem_free, query->mem_total);
	value_bound(&query->mem_available, query->mem_total);
	value_bound(&query->high_watermark, query->mem_total);
	value_bound(&query->swap_used, SIZE_MAX_SANE);
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

/* Returns what the budget leaves. *@over: by how much it is exceeded. */
static uint64_t budget_room(struct swap_manager *manager, uint64_t *over)
{
	uint64_t budget = 0, slots = 0, used;

	*over = 0;
	if (manager->store)
		manager->store->usage(manager->store_opaque, &budget, &slots);
	if (budget == 0)
		return UINT64_MAX;
	used = swap_ram_bytes(manager->vm) + slots;
	if (used > budget)
		*over = used - budget;
	return used < budget ? budget - used : 0;
}

static void situation_host(struct swap_manager *manager, struct swap_situation *situation)
{
	struct virtio_mem_state mem = {0};
	uint64_t over;

	virtio_mem_get(manager->vm, &mem);
	situation->can_grow = mem.driver;
	/* A broker decides about RAM: what it leased is all that there is. */
	situation->limit = mem.leased ? mem.requested : mem.limit;
	situation->requested = mem.requested;
	situation->plugged = mem.plugged;
	situation->block_size = mem.block_size ? mem.block_size : SWAP_PAGE;
	situation->room = budget_room(manager, &over);
	pthread_mutex_lock(&manager->lock);
	situation->pressed = manager->pressed;
	situation->stalled = manager->stalled_ticks >= STALL_TICKS;
	pthread_mutex_unlock(&manager->lock);
}

static uint64_t counter_gain(uint64_t now, uint64_t before)
{
	uint64_t pages = now > before ? now - before : 0;

	value_bound(&pages, SIZE_MAX_SANE / SWAP_PAGE);
	return pages;
}

/* What the guest's counters gained since the last query. The lock is held. */
static void situation_history(struct swap_manager *manager, struct swap_situation *situation)
{
	const struct sym_swap_query *query = &situation->query;

	/* A guest that was rebooted counts from 0 again. */
	if (query->swap_in < manager->last_swap_in)
		manager->known = false;
	situation->first = !manager->known;
	if (manager->known) {
		situation->swap_ins = counter_gain(query->swap_in, manager->last_swap_in);
		situation->refaults = counter_gain(query->refault_anon, manager->last_refault);
	}
	manager->known = true;
	manager->last_swap_in = query->swap_in;
	manager->last_refault = query->refault_anon;
}

/*
 * Gives @grow more than @requested, the sum at the decision; another vCPU may have given RAM
 * meanwhile.
 */
static void ram_grant(struct swap_manager *manager, uint64_t requested, uint64_t grow)
{
	struct virtio_mem_state mem;

	manager->shrink.calm = 0;
	if (virtio_mem_get(manager->vm, &mem) < 0 || mem.requested >= requested + grow)
		return;
	if (virtio_mem_request(manager->vm, requested + grow) == 1)
		manager->given_bytes += requested + grow - mem.requested;
}

static uint64_t doorbell_decide(void *opaque, struct sym_vcpu *vcpu, void *vcpu_opaque,
				const uint64_t request[6])
{
	struct swap_manager *manager = opaque;
	struct swap_situation situation = {.hints = (uint32_t)request[2]};
	struct swap_decision decision = {.kind = SYM_VERDICT_COPY, .reason = SWAP_REASON_COPY};
	bool asks;

	situation_host(manager, &situation);
	pthread_mutex_lock(&manager->lock);
	asks = manager->policy->wants_query &&
	       manager->policy->wants_query(manager->policy_state, &situation);
	pthread_mutex_unlock(&manager->lock);
	if (asks)
		situation.asked = guest_ask(vcpu, &situation.query);
	pthread_mutex_lock(&manager->lock);
	manager->asked += asks;
	manager->unanswered += asks && !situation.asked;
	if (situation.asked)
		situation_history(manager, &situation);
	/* If the policy was changed meanwhile, it is not the one that wanted the answer. */
	manager->policy->decide(manager->policy_state, &situation, &decision);
	if (decision.grow)
		ram_grant(manager, situation.requested, decision.grow);
	manager->decisions[decision.reason]++;
	pthread_mutex_unlock(&manager->lock);
	return SYM_VERDICT(decision.kind, decision.credit, decision.around);
}

/* The worse of the VM's own cgroup and the machine. */
static void pressure_update(struct swap_manager *manager)
{
	struct psi worst = {0};

	for (unsigned i = 0; i < 2; i++) {
		struct psi one = psi_read(manager->pressure_fds[i]);

		worst.some = one.some > worst.some ? one.some : worst.some;
		worst.full = one.full > worst.full ? one.full : worst.full;
	}
	manager->pressure = worst;
	if (worst.some >= PRESSED_ABOVE)
		manager->pressed = true;
	else if (worst.some < RELAXED_BELOW)
		manager->pressed = false;
}

/*
 * Linux adds memory in blocks of 128 MiB, each of which needs 2 MiB in one piece for its page
 * structures. A guest that swaps does not find them for minutes. So the first block is there in
 * advance, by the smallest request that adds it.
 */
static uint64_t first_block_size(const struct swap_manager *manager,
				 const struct virtio_mem_state *mem)
{
	bool grants = manager->policy->verdicts & 1u << SYM_VERDICT_GRANT;

	return grants && mem->driver && mem->limit >= mem->block_size ? mem->block_size : 0;
}

static void first_block_request(struct swap_manager *manager, struct virtio_mem_state *mem)
{
	uint64_t least = first_block_size(manager, mem);

	if (mem->floor < least)
		mem->floor = least;
	if (mem->requested < least && virtio_mem_request(manager->vm, least) == 1)
		mem->requested = least;
}

static void ram_take_back(struct swap_manager *manager, const struct virtio_mem_state *mem,
			  uint64_t over)
{
	struct swap_shrink_view view = {
		.boot = manager->vm->memory.ram_size,
		.requested = mem->requested,
		.plugged = mem->plugged,
		.floor = mem->floor,
		.block_size = mem->block_size,
		.over_budget = over,
		.pressed = manager->pressed,
	};
	struct sym_spy_vm_guest guest;
	enum swap_shrink_reason reason;
	uint64_t requested = mem->requested;

	if (sym_vm_spy_read(manager->vm->symbiotic, &guest) == 0)
		view.mem_free = guest.mem_free;
	value_bound(&view.mem_free, view.boot + view.plugged);
	reason = manager->policy->shrink(manager->policy_state, &manager->shrink, &view,
					 &requested);
	if (reason == SWAP_SHRINK_NONE || virtio_mem_request(manager->vm, requested) != 1)
		return;
	manager->taken[reason]++;
	manager->taken_bytes += mem->requested - requested;
}

/*
 * The guest plugs memory at its own pace. It is reminded, because it may lack the memory to retry
 * by itself.
 */
static void follow_plugging(struct swap_manager *manager, const struct virtio_mem_state *mem)
{
	if (mem->requested > mem->plugged && mem->plugged == manager->last_plugged) {
		manager->stalled_ticks++;
		virtio_mem_remind(manager->vm);
	} else {
		manager->stalled_ticks = 0;
	}
	manager->last_plugged = mem->plugged;
}

static void manager_tick(void *opaque, uint32_t events)
{
	struct swap_manager *manager = opaque;
	struct virtio_mem_state mem;
	uint64_t count, over;

	if (read(manager->timer_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return;
	budget_room(manager, &over);
	pthread_mutex_lock(&manager->lock);
	pressure_update(manager);
	if (virtio_mem_get(manager->vm, &mem) == 0) {
		follow_plugging(manager, &mem);
		first_block_request(manager, &mem);
		ram_take_back(manager, &mem, over);
	}
	pthread_mutex_unlock(&manager->lock);
}

static const struct service_ops manager_ops;

static struct swap_manager *manager_find(struct vm *vm)
{
	return service_find(vm, &manager_ops);
}

int swap_policy_set(struct vm *vm, const char *name, struct error *err)
{
	const struct swap_policy *policy = swap_policy_find(name);
	struct swap_manager *manager = manager_find(vm);
	void *state = NULL;
	char names[128];

	if (!manager || !manager->store)
		return error_set(err, -EOPNOTSUPP, "this VM has no slot store (--swap)");
	if (!policy) {
		swap_policy_names(names, sizeof(names));
		return error_set(err, -EINVAL, "policy: '%s' is none of %s", name, names);
	}
	if (policy->state_size) {
		state = calloc(1, policy->state_size);
		if (!state)
			return error_set(err, -ENOMEM, "policy: out of memory");
	}
	pthread_mutex_lock(&manager->lock);
	free(manager->policy_state);
	manager->policy_state = state;
	manager->policy = policy;
	manager->known = false;
	manager->store->set_verdicts(manager->store_opaque, policy->verdicts);
	pthread_mutex_unlock(&manager->lock);
	return 0;
}

static void pressure_close(struct swap_manager *manager)
{
	for (unsigned i = 0; i < 2; i++) {
		if (manager->pressure_fds[i] >= 0)
			close(manager->pressure_fds[i]);
		manager->pressure_fds[i] = -1;
	}
}

int swap_manager_attach(struct vm *vm, const struct swap_store_ops *ops, void *opaque,
			const char *policy, const char *pressure, struct error *err)
{
	struct swap_manager *manager = manager_find(vm);
	int fd;

	if (!manager)
		return error_set(err, -EOPNOTSUPP, "--swap needs the symbiotic interface");
	if (pressure) {
		fd = psi_open(pressure, err);
		if (fd < 0)
			return fd;
		pressure_close(manager);
		manager->pressure_fds[0] = fd;
	}
	manager->store = ops;
	manager->store_opaque = opaque;
	return swap_policy_set(vm, policy ? policy : SWAP_POLICY_DEFAULT, err);
}

json_t *swap_policy_describe(struct vm *vm)
{
	json_t *decisions = json_object(), *taken = json_object(), *object;
	struct swap_manager *manager = manager_find(vm);

	if (!manager || !manager->store) {
		json_decref(decisions);
		json_decref(taken);
		return NULL;
	}
	pthread_mutex_lock(&manager->lock);
	for (unsigned i = 0; i < SWAP_REASON_COUNT; i++)
		if (manager->decisions[i])
			json_object_set_new(decisions, swap_reason_name(i),
					    json_integer((json_int_t)manager->decisions[i]));
	for (unsigned i = SWAP_SHRINK_IDLE; i < SWAP_SHRINK_COUNT; i++)
		json_object_set_new(taken, taken_names[i],
				    json_integer((json_int_t)manager->taken[i]));
	object = json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:b}", "policy",
			   manager->policy->name, "decisions", decisions, "taken_back", taken,
			   "given_bytes", (json_int_t)manager->given_bytes, "taken_bytes",
			   (json_int_t)manager->taken_bytes, "asked", (json_int_t)manager->asked,
			   "unanswered", (json_int_t)manager->unanswered, "pressure_some",
			   (int)manager->pressure.some, "pressure_full",
			   (int)manager->pressure.full, "pressed", manager->pressed);
	pthread_mutex_unlock(&manager->lock);
	return object;
}

static void manager_stop(void *state)
{
	struct swap_manager *manager = state;

	event_source_remove(manager->source);
	if (manager->timer_fd >= 0)
		close(manager->timer_fd);
	pressure_close(manager);
	pthread_mutex_destroy(&manager->lock);
	free(manager->policy_state);
	free(manager);
}

static int manager_start(struct vm *vm, void **state, struct error *err)
{
	const struct itimerspec period = {
		.it_interval.tv_sec = TICK_SECONDS,
		.it_value.tv_sec = TICK_SECONDS,
	};
	struct swap_manager *manager = calloc(1, sizeof(*manager));

	if (!manager)
		return error_set(err, -ENOMEM, NAME ": out of memory");
	pthread_mutex_init(&manager->lock, NULL);
	manager->vm = vm;
	manager->policy = swap_policy_find("off");
	manager->pressure_fds[0] = psi_open(NULL, err);
	manager->pressure_fds[1] = psi_open_cgroup();
	manager->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (manager->timer_fd >= 0 && timerfd_settime(manager->timer_fd, 0, &period, NULL) == 0)
		manager->source = event_loop_add(vm->main_loop, manager->timer_fd, EPOLLIN,
						 manager_tick, manager);
	if (!manager->source || sym_vm_set_doorbell(vm->symbiotic, SYM_DOORBELL_SWAP_DECIDE,
						    doorbell_decide, manager) < 0) {
		manager_stop(manager);
		return error_set(err, -ENOMEM, NAME ": no timer or no doorbell");
	}
	*state = manager;
	return 0;
}

static const struct service_ops manager_ops = {
	.name = NAME,
	.start = manager_start,
	.stop = manager_stop,
};
SERVICE(manager_ops);

static void manager_metrics(struct vm *vm, FILE *out)
{
	struct swap_manager *manager = manager_find(vm);

	if (!manager || !manager->store)
		return;
	pthread_mutex_lock(&manager->lock);
	metrics_family(out, "symvm_swap_decisions_total", "counter",
		       "Decisions about swap-ins, by reason.");
	for (unsigned i = 0; i < SWAP_REASON_COUNT; i++)
		metrics_sample(out, vm, "symvm_swap_decisions_total", (double)manager->decisions[i],
			       "reason", swap_reason_name(i), NULL);
	metrics_family(out, "symvm_swap_ram_given_bytes_total", "counter",
		       "RAM given so that swapping stops.");
	metrics_sample(out, vm, "symvm_swap_ram_given_bytes_total", (double)manager->given_bytes,
		       NULL);
	metrics_family(out, "symvm_swap_ram_taken_bytes_total", "counter", "RAM asked back.");
	metrics_sample(out, vm, "symvm_swap_ram_taken_bytes_total", (double)manager->taken_bytes,
		       NULL);
	pthread_mutex_unlock(&manager->lock);
}

static void manager_info(struct vm *vm, json_t *object)
{
	json_t *all = swap_policy_describe(vm);

	if (all)
		json_object_update(object, all);
	json_decref(all);
}

static const struct report manager_report = {
	.name = "swap_policy",
	.info = manager_info,
	.metrics = manager_metrics,
};
REPORT(manager_report);
