/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM does after its guest's panic: a dump, a report (--on-panic). */
#ifndef SYMVM_CONTROL_PANIC_H
#define SYMVM_CONTROL_PANIC_H

#include "control/state_dir.h"
#include "util/error.h"

struct vm;
struct panic_action;

/*
 * Opens the files that vm->config.on_panic needs, since the jail allows that no more, and sets the
 * VM's handler (machine/vm_panic.h). @dump_file: where a dump goes; NULL: NAME.vmcore in the state
 * directory. *@action is NULL if there is nothing to do (VM_ON_PANIC_EXIT). @vm and @name must
 * outlive it. Main thread, before the jail. -errno with words.
 */
int panic_action_create(struct vm *vm, const struct state_name *name, const char *dump_file,
			struct panic_action **action, struct error *err);
/* Closes the files. NULL is allowed. Main thread, after vm_destroy(). */
void panic_action_destroy(struct panic_action *action);

#endif
