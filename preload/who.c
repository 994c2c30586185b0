// SPDX-License-Identifier: BSD-2-Clause
/*
 * A client's watch is in vm->watch while it waits. A vCPU's thread asks the guest without the lock,
 * since the call may wait for the VMM, and gives its record to the watch of the same number. If the
 * client has left meanwhile, the record is dropped.
 */
#include "who.h"

#include <errno.h>

#include "services/who.h"
#include "util/clock.h"
#include "vm.h"

static bool is_write_in(const struct kvm_run *run, const struct exit_match *match)
{
	uint64_t at;

	if (run->exit_reason != match->reason)
		return false;
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT)
		at = run->io.port;
	else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write)
		at = run->mmio.phys_addr;
	else
		return false;
	return at >= match->first && at <= match->last;
}

bool preload_who_wants(struct preload_vcpu *vcpu)
{
	struct preload_vm *vm = vcpu->vm;
	bool wants;

	if (!atomic_load_explicit(&vm->watch, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&vm->lock);
	wants = atomic_load(&vm->watch) && is_write_in(vcpu->run, &vm->watch->exits);
	vcpu->watch_number = vm->watch_number;
	pthread_mutex_unlock(&vm->lock);
	return wants;
}

/* The lock is held. */
static void give_record(struct preload_vm *vm, int status, const struct guest_who *record)
{
	if (status == 0)
		guest_who_ring_put(vm->watch->ring, record);
	else if (status != -EBUSY) /* the handler of a call caused this exit, not a task */
		vm->watch->missed++;
	if (guest_who_ring_count(vm->watch->ring) >= vm->watch->count)
		pthread_cond_broadcast(&vm->changed);
}

void preload_who_ask(void *opaque)
{
	struct preload_vcpu *vcpu = opaque;
	struct preload_vm *vm = vcpu->vm;
	struct guest_who record;
	bool stack;
	int status;

	pthread_mutex_lock(&vm->lock);
	stack = atomic_load(&vm->watch) && vm->watch->stack;
	pthread_mutex_unlock(&vm->lock);
	status = guest_who_ask(&vm->guest, vcpu->index, vcpu->run, stack, &record);
	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->watch) && vcpu->watch_number == vm->watch_number)
		give_record(vm, status, &record);
	pthread_mutex_unlock(&vm->lock);
}

/* The lock is held, except while it waits. */
static void wait_records(struct preload_vm *vm, const struct who_watch *watch,
			 const struct wait_limit *limit)
{
	struct timespec until = clock_timespec(watch->end_ns < limit->end_ns ? watch->end_ns
									     : limit->end_ns);
	int error = 0;

	while (guest_who_ring_count(watch->ring) < watch->count && !error)
		error = pthread_cond_timedwait(&vm->changed, &vm->lock, &until);
}

int who_watch_wait(struct vm *opaque, struct who_watch *watch, const struct wait_limit *limit,
		   struct error *err)
{
	struct preload_vm *vm = (struct preload_vm *)opaque;
	struct guest_error words = {""};
	int status = vm->guest.ops->check(vm, &words);

	if (status < 0)
		return error_set(err, status, "%s", words.text);
	watch->missed = 0;
	pthread_mutex_lock(&vm->lock);
	if (atomic_load(&vm->watch)) {
		status = error_set(err, -EBUSY, "who: another client watches exits of this VM");
	} else {
		vm->watch_number++;
		atomic_store(&vm->watch, watch);
		wait_records(vm, watch, limit);
		atomic_store(&vm->watch, NULL);
	}
	pthread_mutex_unlock(&vm->lock);
	return status;
}
