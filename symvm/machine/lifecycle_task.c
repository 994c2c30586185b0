// SPDX-License-Identifier: BSD-2-Clause
/* Leaving work to the lifecycle thread. */
#include "machine/lifecycle.h"
#include "machine/vm.h"

void lifecycle_add_task(struct vm *vm, enum lifecycle_task task)
{
	pthread_mutex_lock(&vm->state_lock);
	vm->lifecycle_tasks |= task;
	pthread_cond_broadcast(&vm->state_changed);
	pthread_mutex_unlock(&vm->state_lock);
}

void lifecycle_panic(struct vm *vm)
{
	if (atomic_exchange(&vm->panic.handled, true))
		return;
	/* A hold for good: the guest stays as it is until the VM ends. */
	pthread_mutex_lock(&vm->state_lock);
	vm->holds++;
	pthread_mutex_unlock(&vm->state_lock);
	vcpu_request_all(vm, VCPU_REQUEST_PAUSE);
	lifecycle_add_task(vm, LIFECYCLE_PANIC);
}
