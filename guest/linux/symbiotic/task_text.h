/* SPDX-License-Identifier: GPL-2.0-only */
/* The texts of a listing of tasks (SYM_TASKS_TEXTS). */
#ifndef SYMBIOTIC_TASK_TEXT_H
#define SYMBIOTIC_TASK_TEXT_H

#include <symbiotic/abi.h>

/*
 * Copies @count tasks and adds the texts of those that still live. Returns the number of records at
 * *@data, which is from kvmalloc(), or NULL without memory. Process context; it waits for memory
 * and for nothing else.
 */
unsigned int sym_tasks_add_texts(const struct sym_task *tasks, unsigned int count, void **data);

#endif
