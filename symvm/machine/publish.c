// SPDX-License-Identifier: BSD-2-Clause
#include "machine/publish.h"

#include <symbiotic/symcall.h>

#include "machine/vm.h"

REGISTRY_DECLARE(symvm_publishers, struct publisher);

void publish_refresh(struct vm *vm)
{
	struct sym_publication publication = {0};
	const struct publisher *const *it;

	if (!vm->symbiotic)
		return;
	REGISTRY_FOR_EACH(symvm_publishers, it)
		(*it)->fill(vm, &publication);
	sym_vm_publish(vm->symbiotic, &publication);
}
