// SPDX-License-Identifier: BSD-2-Clause
/*
 * A thread that asks puts its function into the vCPU's place, kicks the vCPU, and waits. The vCPU's
 * thread takes the function between two exits. If it does not come in time (a paused VM), the
 * asking thread takes its function back. A function that has begun ends by the deadline of its
 * call.
 *
 * The control commands of symvm that only ask the guest (symvm/control/ps.c and others) are linked
 * into the library unchanged. Their `struct vm` is opaque to them; here it is a struct preload_vm.
 */
#include "handle.h"

#include <errno.h>

#include "services/guest.h"
#include "util/clock.h"

#define KICK_AGAIN_NS 50000000 /* a kick is lost if the VMM's thread is between two KVM_RUN */

static unsigned handle_vcpu_count(void *opaque)
{
	const struct preload_vm *vm = opaque;
	unsigned count = atomic_load(&vm->vcpu_count);

	return count ? count : 1;
}

static struct sym_vcpu *handle_engine(void *opaque, unsigned vcpu)
{
	const struct preload_vm *vm = opaque;

	return vm->vcpus[vcpu]->engine;
}

/* Waits for a change, at most until @end or KICK_AGAIN_NS. The lock is held. */
static void wait_change(struct preload_vm *vm, uint64_t end)
{
	uint64_t soon = clock_now_ns() + KICK_AGAIN_NS;
	struct timespec until = clock_timespec(soon < end ? soon : end);

	pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
}

static int handle_run_on(void *opaque, unsigned id, void (*function)(void *argument),
			 void *argument, unsigned timeout_ms)
{
	struct preload_work work = {.function = function, .argument = argument};
	struct preload_vm *vm = opaque;
	struct preload_vcpu *vcpu = vm->vcpus[id];
	uint64_t end = clock_now_ns() + timeout_ms * NS_PER_MS;
	int status;

	pthread_mutex_lock(&vm->lock);
	while (atomic_load(&vcpu->work) && clock_now_ns() < end)
		wait_change(vm, end);
	if (!atomic_load(&vcpu->work)) {
		atomic_store(&vcpu->work, &work);
		preload_vcpu_kick(vcpu);
		while (!work.begun && clock_now_ns() < end) {
			wait_change(vm, end);
			if (!work.begun)
				preload_vcpu_kick(vcpu);
		}
		if (!work.begun)
			atomic_store(&vcpu->work, NULL); /* it never runs now */
		while (work.begun && !work.done)
			pthread_cond_wait(&vm->changed, &vm->lock);
		pthread_cond_broadcast(&vm->changed);
	}
	status = work.done ? 0 : -ETIMEDOUT;
	pthread_mutex_unlock(&vm->lock);
	return status;
}

static int handle_check(void *opaque, struct guest_error *err)
{
	struct preload_vm *vm = opaque;

	if (atomic_load(&vm->off))
		return guest_error_set(err, -EOPNOTSUPP,
				       "this VM runs without the symbiotic interface (its VMM's "
				       "messages say why)");
	if (!atomic_load(&vm->vcpu_count))
		return guest_error_set(err, -EBUSY, "the VM has no vCPU yet");
	return 0;
}

static const struct guest_ops handle_ops = {
	.vcpu_count = handle_vcpu_count,
	.engine = handle_engine,
	.run_on = handle_run_on,
	.check = handle_check,
};

struct guest preload_guest(struct preload_vm *vm)
{
	return (struct guest){.ops = &handle_ops, .opaque = vm};
}

struct guest guest_of_vm(struct vm *vm)
{
	return preload_guest((struct preload_vm *)vm);
}

struct guest_limit guest_limit_of(const struct wait_limit *limit)
{
	return (struct guest_limit){.end_ns = limit->end_ns, .cut = &limit->cut};
}

int guest_error_pass(struct error *err, int status, const struct guest_error *words)
{
	return error_set(err, status, "%s", words->text);
}
