/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM as libsymcall sees it: the engine's creation, and the callbacks that it needs. */
#ifndef SYMVM_MACHINE_SYMBIOTIC_H
#define SYMVM_MACHINE_SYMBIOTIC_H

#include <symbiotic/symcall.h>

#include "util/error.h"

struct vm;

/*
 * Creates the engine of @vm (vm->symbiotic), and has KVM report accesses to its MSRs. Nothing if
 * the interface is off. Main thread, after the VM's memory, before the first vCPU. -errno with
 * words: the host's KVM lacks something, or there is no memory.
 */
int symbiotic_create(struct vm *vm, struct error *err);
/* Frees the engine, if there is one. Main thread; all vCPUs were destroyed. */
void symbiotic_destroy(struct vm *vm);

/* A message of a library as a line of the VM's log, bounded: "PART: MESSAGE". Any thread. */
void symbiotic_log(struct vm *vm, enum sym_log_level level, const char *part, const char *message);

#endif
