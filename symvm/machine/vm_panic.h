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

#include "util/error.h"

enum vm_end;
struct vm;

/* Before devices are made. Main thread. -errno. */
int vm_panic_init(struct vm *vm, struct error *err);
void vm_panic_destroy(struct vm *vm);

/*
 * The guest's kernel said that it panicked: the VM ends with VM_END_PANIC and one log line, which
 * has the text where the guest publishes one within a second. Any thread. (Also in vm.h.)
 */
void vm_report_panic(struct vm *vm);

/* Ends the VM now if a panic was reported, and tells whether so. Any thread. */
bool vm_panic_finish(struct vm *vm);

/*
 * Why a VM ends that is about to end for @reason: a guest that panicked, by its device or by its
 * SymSpy page, and then powers off, reboots or crashes has VM_END_PANIC. Any thread.
 */
enum vm_end vm_panic_reason(struct vm *vm, enum vm_end reason);

/* Before a reset: keeps the text of a panic, and logs it. Main thread. */
void vm_panic_note(struct vm *vm);

/*
 * Whether the guest's SymSpy page says that its kernel panicked; @text is as in vm_panic_text().
 * Any thread.
 */
bool vm_panic_text_now(struct vm *vm, char text[SYM_PANIC_SIZE]);

/*
 * The text of the panic that the guest is in, else of the last one before a reset, as claimed by
 * the guest; NUL terminated, not escaped. False where there is none. Any thread.
 */
bool vm_panic_text(struct vm *vm, char text[SYM_PANIC_SIZE]);

#endif
