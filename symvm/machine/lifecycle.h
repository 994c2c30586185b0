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

enum lifecycle_task {
	LIFECYCLE_RESET = 1 << 0,
	LIFECYCLE_RESUME = 1 << 1,
	LIFECYCLE_QUIT = 1 << 2,
	LIFECYCLE_PANIC = 1 << 3,
};

/* Gives the thread a task, and does not wait. Any thread. */
void lifecycle_add_task(struct vm *vm, enum lifecycle_task task);

/*
 * After a panic: stops the vCPUs for good, lets the lifecycle thread call the handler of
 * vm_panic_set_handler(), which must be set, and then ends or keeps the VM. Does not wait. Any
 * thread, any number of times.
 */
void lifecycle_panic(struct vm *vm);

/* Loads the kernel and sets the first vCPU's registers. vCPUs do not run. -errno with words. */
int lifecycle_boot(struct vm *vm, struct error *err);

#endif
