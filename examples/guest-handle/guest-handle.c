// SPDX-License-Identifier: BSD-2-Clause
/*
 * Each vCPU has a place for one function. A thread that asks puts its function there, kicks the
 * vCPU, and waits. The vCPU's thread takes the function between two exits, where sym_call() is
 * allowed. If the vCPU does not come in time, the asking thread takes its function back.
 */
#include "guest-handle.h"

#include <errno.h>
#include <time.h>

static struct timespec deadline_after(unsigned ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += ms / 1000;
	time.tv_nsec += (long)(ms % 1000) * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

static unsigned handle_vcpu_count(void *opaque)
{
	const struct handle *handle = opaque;

	return handle->vcpu_count;
}

static struct sym_vcpu *handle_engine(void *opaque, unsigned vcpu)
{
	const struct handle *handle = opaque;

	return handle->vcpus[vcpu].engine;
}

/* Puts @work into the vCPU's place. The lock is held. False: the place stayed taken, or the end. */
static bool work_put(struct handle *handle, struct handle_vcpu *vcpu, struct handle_work *work,
		     const struct timespec *until)
{
	while (vcpu->work && !handle->ended)
		if (pthread_cond_timedwait(&handle->changed, &handle->lock, until) == ETIMEDOUT)
			break;
	if (vcpu->work || handle->ended)
		return false;
	vcpu->work = work;
	return true;
}

static int handle_run_on(void *opaque, unsigned vcpu, void (*function)(void *argument),
			 void *argument, unsigned timeout_ms)
{
	struct handle *handle = opaque;
	struct handle_vcpu *place = &handle->vcpus[vcpu];
	struct handle_work work = {.function = function, .argument = argument};
	struct timespec until = deadline_after(timeout_ms);
	int status = 0;

	pthread_mutex_lock(&handle->lock);
	if (work_put(handle, place, &work, &until)) {
		handle->kick(vcpu);
		while (!work.begun && !handle->ended && status == 0)
			status = pthread_cond_timedwait(&handle->changed, &handle->lock, &until);
		if (!work.begun)
			place->work = NULL; /* it never runs now */
		/* It has begun and uses our stack. sym_call() ends by the engine's deadline. */
		while (work.begun && !work.done)
			pthread_cond_wait(&handle->changed, &handle->lock);
		pthread_cond_broadcast(&handle->changed);
	}
	status = work.done ? 0 : handle->ended ? -ESHUTDOWN : -ETIMEDOUT;
	pthread_mutex_unlock(&handle->lock);
	return status;
}

static int handle_check(void *opaque, struct guest_error *err)
{
	struct handle *handle = opaque;
	bool ended;

	pthread_mutex_lock(&handle->lock);
	ended = handle->ended;
	pthread_mutex_unlock(&handle->lock);
	return ended ? guest_error_set(err, -ESHUTDOWN, "the guest has ended") : 0;
}

static const struct guest_ops handle_ops = {
	.vcpu_count = handle_vcpu_count,
	.engine = handle_engine,
	.run_on = handle_run_on,
	.check = handle_check,
};

void handle_init(struct handle *handle, struct sym_vcpu *const engines[], unsigned count,
		 void (*kick)(unsigned vcpu))
{
	pthread_condattr_t monotonic;

	*handle = (struct handle){.vcpu_count = count, .kick = kick};
	for (unsigned i = 0; i < count; i++)
		handle->vcpus[i].engine = engines[i];
	pthread_mutex_init(&handle->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&handle->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void handle_serve(struct handle *handle, unsigned vcpu)
{
	struct handle_work *work;

	pthread_mutex_lock(&handle->lock);
	work = handle->ended ? NULL : handle->vcpus[vcpu].work;
	if (work) {
		work->begun = true;
		pthread_mutex_unlock(&handle->lock);
		work->function(work->argument);
		pthread_mutex_lock(&handle->lock);
		work->done = true;
		handle->vcpus[vcpu].work = NULL;
		pthread_cond_broadcast(&handle->changed);
	}
	pthread_mutex_unlock(&handle->lock);
}

void handle_end(struct handle *handle)
{
	pthread_mutex_lock(&handle->lock);
	handle->ended = true;
	pthread_cond_broadcast(&handle->changed);
	pthread_mutex_unlock(&handle->lock);
}

struct guest handle_guest(struct handle *handle)
{
	return (struct guest){.ops = &handle_ops, .opaque = handle};
}
