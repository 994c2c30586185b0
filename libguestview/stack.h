/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel stack that a call interrupted, with symbols (SYM_CALL_STACK). */
#ifndef GUESTVIEW_STACK_H
#define GUESTVIEW_STACK_H

#include "guestview.h"

/* The most frames that are kept, the innermost ones. The text of a real frame has 8 bytes or more.
 */
#define GUEST_STACK_FRAMES 256u

struct guest_stack {
	unsigned count; /* at most GUEST_STACK_FRAMES; 0: the call interrupted user mode */
	uint16_t start[GUEST_STACK_FRAMES]; /* of each frame in @text; below SYM_MESSAGE_SIZE */
	char text[SYM_MESSAGE_SIZE + 1];    /* the frames, each ended by a NUL and not empty */
};

/* Frame @index, below stack->count; 0 is the innermost. It lives in @stack. */
static inline const char *guest_stack_frame(const struct guest_stack *stack, unsigned index)
{
	return stack->text + stack->start[index];
}

/* Asks for the kernel stack of @vcpu. In addition: -EIO, the guest could not give its stack. */
GUEST_API int guest_stack(const struct guest *guest, unsigned vcpu, const struct guest_limit *limit,
			  struct guest_stack *stack, struct guest_error *err);

/* The request for it, for a caller that makes the call itself, with @stack->text as the message. */
GUEST_API struct sym_call_request guest_stack_request(struct guest_stack *stack);

/*
 * Decodes its answer in place: @value as the handler returned it, @length bytes in @stack->text. A
 * frame is a line of text; empty lines, and what follows a NUL, are left out. -EPROTO if @length is
 * above SYM_MESSAGE_SIZE, -EIO if @value is negative: @stack is then empty. Any thread.
 */
GUEST_API int guest_stack_decode(int64_t value, size_t length, struct guest_stack *stack);

#endif
