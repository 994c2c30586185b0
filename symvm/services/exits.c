// SPDX-License-Identifier: BSD-2-Clause
/*
 * The service behind `exits`. A watch runs on the thread of its client's request. The vCPUs'
 * threads see exits (machine/exit_observer.h), ask the guest about some of them, each on its own
 * vCPU and without a lock, and count the answers under the watch's lock.
 *
 * Without a watch nothing is observed, no doorbell is caught and no vCPU is interrupted, so the
 * service costs nothing.
 */
#include "services/exits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine/report.h"
#include "machine/service.h"
#include "machine/vm.h"
#include "services/guest.h"

#define WATCH_PIECE_MS	200u /* how soon a watch notices that its client left */
#define SAMPLE_LIMIT_MS 50u  /* until a busy vCPU takes the sample */
#define KIND_BIT(kind)	(1u << (kind))
#define SAMPLED_KINDS	(KIND_BIT(EXIT_KIND_HLT) | KIND_BIT(EXIT_KIND_INTERRUPT))

struct exits_service {
	_Atomic unsigned admitted; /* watches that begin, run or end */
	_Atomic unsigned watches;  /* those that count */
	_Atomic unsigned ends;	   /* how often exits_watches_end() was called */
};

struct running_watch {
	struct vm *vm;
	struct guest guest;
	struct exits_service *service;
	struct exits_watch *watch;
	unsigned ends;	      /* service->ends at the start */
	pthread_mutex_t lock; /* guards watch->tally; not held while the guest is asked */
	pthread_cond_t never; /* for timed waits */
	struct exit_observer observers[2];
	/* By vCPU, for its thread only: */
	uint64_t random[VM_VCPUS_MAX];
	bool asking[VM_VCPUS_MAX];
};

static const char *const kind_names[EXIT_KINDS] = {
	[EXIT_KIND_IO] = "io",
	[EXIT_KIND_MMIO] = "mmio",
	[EXIT_KIND_DOORBELL] = "doorbell",
	[EXIT_KIND_HLT] = "hlt",
	[EXIT_KIND_INTERRUPT] = "interrupt",
};

const char *exits_kind_name(enum exit_kind kind)
{
	return kind_names[kind];
}

/* Random, so that a guest's rhythm does not meet that of the samples (xorshift64). */
static bool in_sample(struct running_watch *running, unsigned vcpu)
{
	uint64_t *x = &running->random[vcpu];

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (*x >> 32) % 100 < running->watch->percent;
}

static struct exit_place place_of(struct vm *vm, const struct kvm_run *run)
{
	struct exit_place place;

	memset(&place, 0, sizeof(place));
	if (run->exit_reason == KVM_EXIT_MMIO) {
		place.kind = EXIT_KIND_MMIO;
		place.address = run->mmio.phys_addr;
		place.write = run->mmio.is_write;
		return place;
	}
	place.kind = EXIT_KIND_IO;
	place.address = run->io.port;
	place.write = run->io.direction == KVM_EXIT_IO_OUT;
	if (place.write && doorbell_find(vm, place.address, &place.doorbell))
		place.kind = EXIT_KIND_DOORBELL;
	return place;
}

static void count_answer(struct running_watch *running, const struct exit_place *place, int status,
			 const struct guest_who *who)
{
	struct exits_totals *totals = &running->watch->totals[place->kind];

	atomic_fetch_add(&totals->asked, 1);
	if (status < 0)
		atomic_fetch_add(&totals->failed, 1);
	pthread_mutex_lock(&running->lock);
	exit_tally_add(running->watch->tally, place, status < 0 ? NULL : who);
	pthread_mutex_unlock(&running->lock);
}

/*
 * On the vCPU's thread. An exit of the handler of a call comes here, too, but no task caused it:
 * the call is this watch's (asking), or another one's (-EBUSY).
 */
static void exit_seen(void *opaque, struct vcpu *vcpu, struct kvm_run *run)
{
	struct running_watch *running = opaque;
	struct exit_place place = place_of(running->vm, run);
	struct exits_totals *totals = &running->watch->totals[place.kind];
	struct guest_who who;
	int status;

	if (!(running->watch->kinds & KIND_BIT(place.kind)) || running->asking[vcpu->id])
		return;
	atomic_fetch_add(&totals->seen, 1);
	if (!in_sample(running, vcpu->id))
		return;
	running->asking[vcpu->id] = true;
	status = guest_who_ask(&running->guest, vcpu->id, run, running->watch->stack, &who);
	running->asking[vcpu->id] = false;
	if (status == -EBUSY)
		atomic_fetch_sub(&totals->seen, 1);
	else
		count_answer(running, &place, status, &who);
}

/* What an interrupt of this vCPU interrupts. On its thread, between two exits. */
static void take_sample(struct vcpu *vcpu, void *opaque)
{
	struct running_watch *running = opaque;
	struct kvm_mp_state state;
	struct exit_place place;
	struct guest_who who;
	int status;

	memset(&place, 0, sizeof(place));
	if (ioctl(vcpu->fd, KVM_GET_MP_STATE, &state) < 0)
		return;
	if (state.mp_state == KVM_MP_STATE_HALTED)
		place.kind = EXIT_KIND_HLT;
	else if (state.mp_state == KVM_MP_STATE_RUNNABLE)
		place.kind = EXIT_KIND_INTERRUPT;
	else
		return; /* it has not started */
	if (!(running->watch->kinds & KIND_BIT(place.kind)))
		return;
	atomic_fetch_add(&running->watch->totals[place.kind].seen, 1);
	running->asking[vcpu->id] = true;
	status = guest_who_ask_now(&running->guest, vcpu->id, running->watch->stack, &who);
	running->asking[vcpu->id] = false;
	count_answer(running, &place, status, &who);
}

static void take_samples(struct running_watch *running)
{
	struct vm *vm = running->vm;

	/* A vCPU that is busy or parked has no sample. */
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_run_on(vm->vcpus[i], take_sample, running, SAMPLE_LIMIT_MS);
}

/* Waits until the watch is over, and takes samples meanwhile. 0, or -ESHUTDOWN with words. */
static int watch_loop(struct running_watch *running, const struct wait_limit *limit,
		      struct error *err)
{
	bool samples = running->watch->kinds & SAMPLED_KINDS;
	uint64_t piece_ns = (samples ? EXITS_SAMPLE_MS : WATCH_PIECE_MS) * NS_PER_MS;
	uint64_t end = running->watch->end_ns, now;

	while (!wait_limit_over(limit) && (now = clock_now_ns()) < end &&
	       atomic_load(&running->service->ends) == running->ends) {
		struct timespec until = clock_timespec(end - now < piece_ns ? end : now + piece_ns);

		if (vm_check_runs(running->vm, err) == -ESHUTDOWN)
			return -ESHUTDOWN;
		pthread_mutex_lock(&running->lock);
		pthread_cond_timedwait(&running->never, &running->lock, &until);
		pthread_mutex_unlock(&running->lock);
		if (samples)
			take_samples(running);
	}
	return 0;
}

static int watch_wait(struct running_watch *running, const struct wait_limit *limit,
		      struct error *err)
{
	int status;

	atomic_fetch_add(&running->service->watches, 1);
	status = watch_loop(running, limit, err);
	atomic_fetch_sub(&running->service->watches, 1);
	return status;
}

/* The observers that the watch needs. The number of them. */
static unsigned observers_make(struct running_watch *running)
{
	unsigned kinds = running->watch->kinds, count = 0;

	if (kinds & (KIND_BIT(EXIT_KIND_IO) | KIND_BIT(EXIT_KIND_DOORBELL)))
		running->observers[count++].match = (struct exit_match){.reason = KVM_EXIT_IO,
									.last = UINT64_MAX};
	if (kinds & KIND_BIT(EXIT_KIND_MMIO))
		running->observers[count++].match = (struct exit_match){.reason = KVM_EXIT_MMIO,
									.last = UINT64_MAX};
	for (unsigned i = 0; i < count; i++) {
		running->observers[i].seen = exit_seen;
		running->observers[i].opaque = running;
	}
	return count;
}

/* The doorbells go back to KVM while exits are still observed, so that no exit is missed. */
static int watch_caught(struct running_watch *running, const struct wait_limit *limit,
			struct error *err)
{
	struct vm *vm = running->vm;
	int status, released;

	if (!(running->watch->kinds & KIND_BIT(EXIT_KIND_DOORBELL)))
		return watch_wait(running, limit, err);
	doorbells_catch(vm);
	status = watch_wait(running, limit, err);
	released = doorbells_release(vm);
	if (released < 0)
		log_limited(&vm->log, LOG_LEVEL_WARN,
			    "exits: KVM did not take a doorbell back (%s); its writes stay exits",
			    strerror(-released));
	return status;
}

static int watch_observed(struct running_watch *running, const struct wait_limit *limit,
			  struct error *err)
{
	struct exit_observers *observers = &running->vm->exit_observers;
	unsigned count = observers_make(running), added = 0;
	int status = 0;

	while (added < count && status == 0) {
		status = exit_observer_add(observers, &running->observers[added]);
		if (status < 0)
			error_set(err, status, "exits: there are too many observers of exits");
		else
			added++;
	}
	if (status == 0)
		status = watch_caught(running, limit, err);
	while (added > 0)
		exit_observer_remove(observers, &running->observers[--added]);
	return status;
}

static int watch_begin(struct vm *vm, struct exits_service *service, struct exits_watch *watch,
		       const struct wait_limit *limit, struct error *err)
{
	struct running_watch *running = calloc(1, sizeof(*running));
	int status;

	if (!running)
		return error_set(err, -ENOMEM, "exits: out of memory");
	running->vm = vm;
	running->guest = guest_of_vm(vm);
	running->service = service;
	running->ends = atomic_load(&service->ends);
	running->watch = watch;
	for (unsigned i = 0; i < VM_VCPUS_MAX; i++)
		running->random[i] = (clock_now_ns() + i) * 0x9e3779b97f4a7c15ull | 1;
	pthread_mutex_init(&running->lock, NULL);
	clock_condition_init(&running->never);
	status = watch_observed(running, limit, err);
	pthread_cond_destroy(&running->never);
	pthread_mutex_destroy(&running->lock);
	free(running);
	return status;
}

static int exits_start(struct vm *vm, void **state, struct error *err)
{
	*state = calloc(1, sizeof(struct exits_service));
	return *state ? 0 : error_set(err, -ENOMEM, "exits: out of memory");
}

static const struct service_ops exits_ops = {
	.name = "exits",
	.start = exits_start,
	.stop = free,
};
SERVICE(exits_ops);

static void exits_info(struct vm *vm, json_t *object)
{
	struct exits_service *service = service_find(vm, &exits_ops);

	if (service)
		json_object_set_new(object, "watches",
				    json_integer(atomic_load(&service->watches)));
}

static const struct report exits_report = {.name = "exits", .info = exits_info};
REPORT(exits_report);

int exits_watch_run(struct vm *vm, struct exits_watch *watch, const struct wait_limit *limit,
		    struct error *err)
{
	struct exits_service *service = service_find(vm, &exits_ops);
	int status = guest_check_service(vm, service, err);

	if (status < 0)
		return status;
	if (atomic_fetch_add(&service->admitted, 1) >= EXITS_WATCHES_MAX)
		status = error_set(err, -EBUSY, "exits: %u watches of this VM are under way",
				   EXITS_WATCHES_MAX);
	else
		status = watch_begin(vm, service, watch, limit, err);
	atomic_fetch_sub(&service->admitted, 1);
	return status;
}

void exits_watches_end(struct vm *vm)
{
	struct exits_service *service = service_find(vm, &exits_ops);

	if (service)
		atomic_fetch_add(&service->ends, 1);
}
