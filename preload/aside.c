// SPDX-License-Identifier: BSD-2-Clause
#include "say.h"
#include "vm.h"

void preload_step_aside(struct preload_vm *vm, const char *why)
{
	if (!atomic_exchange(&vm->off, true))
		preload_say("the VM runs without the symbiotic interface: %s", why);
}
