/* SPDX-License-Identifier: BSD-2-Clause */
/* A dump of a whole VM: for the command `dump`, and after a panic. */
#ifndef SYMVM_CONTROL_VM_DUMP_H
#define SYMVM_CONTROL_VM_DUMP_H

#include "machine/vmcore.h"

struct vm;

/*
 * Reads the registers of all vCPUs of @vm, which the caller holds (vm_hold()), and writes the
 * vmcore to @core->fd (vmcore_write()). Sets @core->memory and @core->cpus (for its own use). A
 * vCPU that is busy with a device for a second has zeros for registers, and a log line says so. Any
 * thread but vCPU threads and loops. -errno with words.
 */
int vm_dump(struct vm *vm, struct vmcore *core, struct error *err);

#endif
