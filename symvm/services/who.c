// SPDX-License-Identifier: BSD-2-Clause
/*
 * The service behind `who`: sees each exit before the devices do. If an exit matches the watch of
 * the client that waits, the service asks the guest, synchronously on that vCPU.
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
	_Atomic bool armed; /* the quick look of who_on_exit() */
	pthread_mutex_t lock;
	pthread_cond_t caught;
	struct who_watch *watch; /* of the one client that waits; NULL: none */
};

/* The lock is held. */
static void catch_exit(struct who_service *service, struct vcpu *vcpu, const struct kvm_run *run)
{
	struct who_watch *watch = service->watch;
	struct guest_who who;
	int status = guest_who_ask(&service->guest, vcpu->id, run, watch->exits.stack, &who);

	if (status < 0) {
		/* The handler of a call caused this exit, and no task of the guest. */
		if (status != -EBUSY)
			watch->missed++;
		return;
	}
	guest_who_ring_put(watch->ring, &who);
	if (guest_who_ring_count(watch->ring) >= watch->count) {
		atomic_store(&service->armed, false);
		pthread_cond_broadcast(&service->caught);
	}
}

static void who_on_exit(void *state, struct vcpu *vcpu, struct kvm_run *run)
{
	struct who_service *service = state;

	if (!atomic_load_explicit(&service->armed, memory_order_relaxed))
		return;
	/* A vCPU that handles a call's nested exit may hold the lock already. */
	if (pthread_mutex_trylock(&service->lock))
		return;
	if (atomic_load(&service->armed) && guest_watch_matches(&service->watch->exits, run))
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
	.on_exit = who_on_exit,
};
SERVICE(who_ops);

/*
 * Waits for the exits that the watch wants, until its time or @limit is over. In short pieces: the
 * end or the pause of the VM must not wait for a watch. The lock is held. 0, or -errno with words.
 */
static int wait_caught(struct vm *vm, struct who_service *service, const struct wait_limit *limit,
		       struct error *err)
{
	uint64_t end = service->watch->end_ns, now;
	int status = 0;

	while (atomic_load(&service->armed) && status == 0 && !wait_limit_over(limit) &&
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

int who_watch_wait(struct vm *vm, struct who_watch *watch, const struct wait_limit *limit,
		   struct error *err)
{
	struct who_service *service = service_find(vm, &who_ops);
	int status;

	if (!service)
		return error_set(err, -EOPNOTSUPP,
				 "this VM runs without the symbiotic interface (--symbiotic off)");
	status = vm_check_runs(vm, err);
	if (status < 0)
		return status;
	watch->missed = 0;
	pthread_mutex_lock(&service->lock);
	if (service->watch) {
		pthread_mutex_unlock(&service->lock);
		return error_set(err, -EBUSY, "who: another client watches exits of this VM");
	}
	service->watch = watch;
	atomic_store(&service->armed, true);
	status = wait_caught(vm, service, limit, err);
	atomic_store(&service->armed, false);
	service->watch = NULL;
	pthread_mutex_unlock(&service->lock);
	return status;
}
