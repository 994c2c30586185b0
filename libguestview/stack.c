// SPDX-License-Identifier: BSD-2-Clause
#include "stack.h"

#include <errno.h>
#include <string.h>

struct sym_call_request guest_stack_request(struct guest_stack *stack)
{
	return (struct sym_call_request){
		.number = SYM_CALL_STACK,
		.args = {SYM_STACK_SYMBOLS},
		.message = stack->text,
		.message_size = SYM_MESSAGE_SIZE,
	};
}

int guest_stack_decode(int64_t value, size_t length, struct guest_stack *stack)
{
	char *line, *rest = stack->text;

	stack->count = 0;
	if (value < 0)
		return -EIO;
	if (length > SYM_MESSAGE_SIZE)
		return -EPROTO;
	stack->text[length] = '\0';
	while ((line = strsep(&rest, "\n")) && stack->count < GUEST_STACK_FRAMES)
		if (*line)
			stack->start[stack->count++] = (uint16_t)(line - stack->text);
	return 0;
}

int guest_stack(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
		struct guest_stack *stack, struct guest_error *err)
{
	struct sym_call_request request = guest_stack_request(stack);
	struct sym_call_result result;
	int status = guest_call(guest, vcpu, limit, &request, &result, err);

	if (status < 0)
		return status;
	status = guest_stack_decode(result.value, result.message_length, stack);
	if (status == -EIO)
		return guest_error_set(err, status, "the guest could not give its stack (%lld)",
				       (long long)result.value);
	if (status < 0)
		return guest_error_set(err, status, "the guest's stack has a wrong length");
	return 0;
}
