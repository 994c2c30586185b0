// SPDX-License-Identifier: BSD-2-Clause
/*
 * The service behind `who`. While a client waits, the service observes the exits that the client
 * means (machine/exit_observer.h) and asks the guest about each, synchronously on that vCPU.
 */
#include "services/who.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "machine/service.h"
#include "machine/vm.h"
#include "services/guest.h"
#include "util/clock.h"

#define WATCH_PIECE_MS 200

struct who_service {
	struct guest guest;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t caught;
	bool armed;		 /* the client waits for more exits */
	struct who_watch *watch; /* of the one client that waits; NULL: none */
};

/* The lock is held. */
static void catch_exit(struct who_service *service, struct vcpu *vcpu, const struct kvm_run *run)
{
	struct who_watch *watch = service->watch;
	struct guest_who who;
	int status = guest_who_ask(&service->guest, vcpu->id, run, watch->stack, &who);

	if (status < 0) {
		/* The handler of a call caused this exit, not a task of the guest. */
		if (status != -EBUSY)
			watch->missed++;
		return;
	}
	guest_who_ring_put(watch->ring, &who);
	if (guest_who_ring_count(watch->ring) >= watch->count) {
		service->armed = false;
		pthread_cond_broadcast(&service->caught);
	}
}

static void exit_seen(void *opaque, struct vcpu *vcpu, struct kvm_run *run)
{
	struct who_service *service = opaque;

	/* A vCPU that handles a call's nested exit may hold the lock already. */
	if (pthread_mutex_trylock(&service->lock))
		return;
	if (service->armed)
		catch_exit(service, vcpu, run);
	pthread_mutex_unlock(&service->lock);
}

static int who_start(struct vm *vm, void **state, struct error *err)
{
	struct who_service *service = calloc(1, sizeof(*service));

	if (!service)
		return error_set(err, -ENOMEM, "who: out of memory");
	service->guest = guest_of_vm(vm);
	pthread_mutex_init(&service->lock, NULL);
	clock_condition_init(&service->caught);
	*state = service;
	return 0;
}

static void who_stop(void *state)
{
	struct who_service *service = state;

	pthread_cond_destroy(&service->caught);
	pthread_mutex_destroy(&service->lock);
	free(service);
}

static const struct service_ops who_ops = {
	.name = "who",
	.start = who_start,
	.stop = who_stop,
};
SERVICE(who_ops);

/*
 * Waits for the exits that the watch wants, until its time or @limit is over. It waits in short
 * pieces, because the end or the pause of the VM must not wait for a watch. The lock is held. 0, or
 * -errno with words.
 */
static int wait_caught(struct vm *vm, struct who_service *service, const struct wait_limit *limit,
		       struct error *err)
{
	uint64_t end = service->watch->end_ns, now;
	int status = 0;

	while (service->armed && status == 0 && !wait_limit_over(limit) &&
	       (now = clock_now_ns()) < end) {
		uint64_t piece_end = now + WATCH_PIECE_MS * NS_PER_MS;
		struct timespec piece = clock_timespec(piece_end < end ? piece_end : end);

		pthread_cond_timedwait(&service->caught, &service->lock, &piece);
		/* A guest that reboots may still cause the exits. */
		status = vm_check_runs(vm, err);
		if (status == -EBUSY && atomic_load(&vm->reset_requested))
			status = 0;
	}
	return status;
}

/*
 * Observes the exits of @watch until the wait is over. The lock is held, but not while the observer
 * is removed, because that waits for a vCPU which may be in exit_seen(). service->watch is set all
 * the time, so no other client comes in between.
 */
static int who_observe(struct vm *vm, struct who_service *service, const struct wait_limit *limit,
		       struct error *err)
{
	struct exit_observer observer = {
		.match = service->watch->exits,
		.seen = exit_seen,
		.opaque = service,
	};
	int status = exit_observer_add(&vm->exit_observers, &observer);

	if (status < 0)
		return error_set_errno(err, status, "who: these exits cannot be watched");
	service->armed = true;
	status = wait_caught(vm, service, limit, err);
	service->armed = false;
	pthread_mutex_unlock(&service->lock);
	exit_observer_remove(&vm->exit_observers, &observer);
	pthread_mutex_lock(&service->lock);
	return status;
}

int who_watch_wait(struct vm *vm, struct who_watch *watch, const struct wait_limit *limit,
		   struct error *err)
{
	struct who_service *service = service_find(vm, &who_ops);
	int status = guest_check_service(vm, service, err);

	if (status < 0)
		return status;
	watch->missed = 0;
	pthread_mutex_lock(&service->lock);
	if (service->watch) {
		pthread_mutex_unlock(&service->lock);
		return error_set(err, -EBUSY, "who: another client watches exits of this VM");
	}
	service->watch = watch;
	status = who_observe(vm, service, limit, err);
	service->watch = NULL;
	pthread_mutex_unlock(&service->lock);
	return status;
}
