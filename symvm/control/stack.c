// SPDX-License-Identifier: BSD-2-Clause
/* The call `stack`: the kernel stack of a vCPU. */
#include "libguestview/stack.h"

#include "control/control.h"
#include "control/guest_json.h"
#include "control/named_call.h"

json_t *guest_stack_json(const struct guest_stack *stack)
{
	json_t *frames = json_array();

	for (unsigned i = 0; i < stack->count; i++)
		json_array_append_new(frames, control_text(guest_stack_frame(stack, i)));
	return frames;
}

static int make_stack(const struct guest *guest, const struct call_arguments *arguments,
		      json_t **result, struct guest_error *err)
{
	struct guest_stack stack;
	int status = guest_stack(guest, arguments->vcpu, &arguments->limit, &stack, err);

	if (status == 0)
		*result = json_pack("{s:o}", "frames", guest_stack_json(&stack));
	return status;
}

static const struct named_call stack_call = {.name = "stack", .make = make_stack};
NAMED_CALL(stack_call);
