/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of a guest that several commands show, as JSON. Each returns a new reference, or NULL.
 * Any thread.
 */
#ifndef SYMVM_CONTROL_GUEST_JSON_H
#define SYMVM_CONTROL_GUEST_JSON_H

#include <jansson.h>

struct guest_stack;
struct guest_whoami;

/* An object: a task. */
json_t *guest_whoami_json(const struct guest_whoami *task);
/* An array of texts: the frames, innermost first. */
json_t *guest_stack_json(const struct guest_stack *stack);

#endif
