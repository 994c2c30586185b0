/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SYMVM_JAIL_SIGSYS_H
#define SYMVM_JAIL_SIGSYS_H

#include "util/error.h"

/* Sets the name of the calling thread in the line of trap_install(). */
void trap_name_thread(const char *name);

/* From now on a system call refused by a trapping filter is named in one line on standard error,
 * and the process ends with status 1. For the whole process; main thread. */
int trap_install(struct error *err);

#endif
