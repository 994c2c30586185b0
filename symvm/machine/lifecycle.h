/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread that does those parts of the VM's life that may have to wait for a device: resets, and
 * resuming on behalf of the main loop. So the main loop never waits for a guest or a disk.
 */
#ifndef SYMVM_MACHINE_LIFECYCLE_H
#define SYMVM_MACHINE_LIFECYCLE_H

#include "util/error.h"

struct vm;

/*
 * Starts the thread, which enters vm->jail. Main thread, before any vCPU runs. -errno with words.
 */
int lifecycle_start(struct vm *vm, struct error *err);
/* Waits for the thread's end. The VM has ended, and its loops still run. Main thread. */
void lifecycle_stop(struct vm *vm);

/* Loads the kernel and sets the first vCPU's registers. vCPUs do not run. -errno with words. */
int lifecycle_boot(struct vm *vm, struct error *err);

#endif
