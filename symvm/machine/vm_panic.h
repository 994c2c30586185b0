/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A panic of the guest's kernel and its text. The pvpanic device reports the event, and the SymSpy
 * page of a guest with symbiotic.ko has the text. Linux runs both drivers' panic notifiers at the
 * same priority, so the event may come before the text: the VM then ends a moment later.
 */
#ifndef SYMVM_MACHINE_VM_PANIC_H
#define SYMVM_MACHINE_VM_PANIC_H

#include <stdbool.h>
#include <symbiotic/abi.h>

#include "machine/vm.h"
#include "util/error.h"

/*
 * Creates the timer that waits for a text. Main thread, before devices are made. -errno with words.
 */
int vm_panic_init(struct vm *vm, struct error *err);
/* Main thread; the main loop no longer runs. */
void vm_panic_destroy(struct vm *vm);

/*
 * Sets the function that is called once, on the lifecycle thread, after a panic, before the VM ends
 * or is kept (config.on_panic). Guest code does not run then. vCPUs are parked, except such as are
 * busy with a device, and run posted functions. @handler returns soon after the VM has ended. Main
 * thread, before vCPUs run. Without it a panic ends the VM at once.
 */
void vm_panic_set_handler(struct vm *vm, vm_panic_handler handler, void *opaque);

/* Says where the report of the panic is. The text of vm_panic_log(), and `info`, have it. */
void vm_panic_set_report(struct vm *vm, const char *path);
/* Copies that path; false if there is none. Any thread. */
bool vm_panic_report_path(struct vm *vm, char path[256]);

/* For a panic of a guest that publishes no text: @text is what is known. Any thread. */
void vm_panic_set_text(struct vm *vm, const char *text);

/* Logs the panic, once. Any thread. */
void vm_panic_log(struct vm *vm);

/*
 * The guest's kernel reported that it panicked. The VM ends with VM_END_PANIC and one log line,
 * which has the text if the guest publishes one within a second. Any thread. (Also in vm.h.)
 */
void vm_report_panic(struct vm *vm);

/*
 * Ends the VM now, or lets the handler be called, if a panic was reported; returns whether that is
 * so. Any thread.
 */
bool vm_panic_finish(struct vm *vm);

/*
 * The end of a VM that is about to end for @reason: VM_END_PANIC if the guest panicked, by its
 * device or by its SymSpy page, and then powers off, reboots or crashes, or if it is stopped while
 * it is kept. Any thread.
 */
enum vm_end vm_panic_reason(struct vm *vm, enum vm_end reason);

/* Before a reset: keeps the text of a panic, and logs it. Main thread or lifecycle thread. */
void vm_panic_note(struct vm *vm);

/*
 * Whether the guest's SymSpy page says that its kernel panicked; @text is as in vm_panic_text().
 * Any thread.
 */
bool vm_panic_text_now(struct vm *vm, char text[SYM_PANIC_SIZE]);

/*
 * The text of the panic that the guest is in, else of the last one before a reset, as the guest
 * claims it; NUL terminated, not escaped. False if there is none. Any thread.
 */
bool vm_panic_text(struct vm *vm, char text[SYM_PANIC_SIZE]);

#endif
