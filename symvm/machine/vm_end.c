// SPDX-License-Identifier: BSD-2-Clause
#include "machine/vcpu.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"
#include "util/watchdog.h"

#define END_LIMIT_MS 4000u /* until the process ends, whatever still runs */

void vm_end(struct vm *vm, enum vm_end reason)
{
	int none = VM_END_NONE;

	reason = vm_panic_reason(vm, reason);
	if (!atomic_compare_exchange_strong(&vm->end, &none, (int)reason))
		return;
	/* First, and without a lock: the rest may hit the very bug that the watchdog is for. */
	if (vm->watchdog)
		watchdog_arm(vm->watchdog, END_LIMIT_MS);
	pthread_mutex_lock(&vm->state_lock);
	vm->state = VM_STATE_ENDED;
	pthread_mutex_unlock(&vm->state_lock);
	vcpu_request_all(vm, VCPU_REQUEST_PAUSE);
	if (vm->main_loop)
		event_loop_quit(vm->main_loop);
}
