// SPDX-License-Identifier: BSD-2-Clause
#include "control/vm_dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/vm.h"

#define REGISTERS_MS 1000u

int vm_dump(struct vm *vm, struct vmcore *core, struct error *err)
{
	struct vcpu_registers *cpus = calloc(vm->vcpu_count, sizeof(*cpus));
	int status;

	if (!cpus)
		return error_set(err, -ENOMEM, "the dump: out of memory");
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		status = vcpu_registers_read(vm->vcpus[i], REGISTERS_MS, &cpus[i]);
		if (status == 0)
			continue;
		memset(&cpus[i], 0, sizeof(cpus[i]));
		log_limited(&vm->log, LOG_LEVEL_WARN, "dump: the registers of vCPU %u: %s", i,
			    strerror(-status));
	}
	core->memory = &vm->memory;
	core->cpus = cpus;
	core->cpu_count = vm->vcpu_count;
	status = vmcore_write(core, err);
	core->cpus = NULL;
	free(cpus);
	return status;
}
