/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks of the rows that `symvm exits` gets, from the task at the root to the exit at the leaf.
 * Texts are the guest's, raw. One thread.
 */
#ifndef SYMVM_CLI_EXITS_STACK_H
#define SYMVM_CLI_EXITS_STACK_H

#include <jansson.h>

/* Where the exit of @row happened: "port 0x5f0 write", "disk0 queue 0". New reference. */
json_t *exits_place(json_t *row);

/*
 * The frames of @row, root first: the task's name, the user's instruction, the kernel's frames, the
 * reason and place of the exit. A list of texts, a new reference.
 */
json_t *exits_frames(json_t *row);

/*
 * @frames as one row of folded stacks, "a;b;c": in each frame, a semicolon and each control
 * character become '_', because they would end the frame or the row. Allocated; NULL if memory is
 * exhausted.
 */
char *exits_fold(json_t *frames);

#endif
