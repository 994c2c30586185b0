/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of processes as a tree. */
#ifndef SYMVM_CLI_PS_TREE_H
#define SYMVM_CLI_PS_TREE_H

#include <jansson.h>

/*
 * The elements of @tasks in the order of a tree: each task is followed by its children, in their
 * order in @tasks, and gets its "depth" (0: a root). A thread is a child of its process. A task is
 * a root if its parent is not in the list. Parents may form loops, since they are a guest's claim:
 * of a loop and what hangs on it, the first task is a root. New reference to an array with each
 * element once, or NULL without memory. Any thread.
 */
json_t *ps_tree(json_t *tasks);

#endif
