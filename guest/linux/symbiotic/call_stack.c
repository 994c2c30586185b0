// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_STACK: the kernel stack that the call interrupted. */
#include <linux/kernel.h>
#include <linux/module.h>
#include <asm/ptrace.h>
#include <asm/unwind.h>
#include "calls.h"
#include "internal.h"

/*
 * The kernel's own unwinder, which profilers use in NMIs. It takes no lock, checks each stack
 * address before it reads it, and stops at a frame that it cannot unwind.
 */
static unsigned int sym_stack_walk(const struct sym_context *context, u64 *addresses,
				   unsigned int max)
{
	struct unwind_state state;
	unsigned int depth = 0;
	struct pt_regs regs = {
		.ip = context->rip,
		.sp = context->rsp,
		.bp = context->rbp,
		.cs = context->cs,
		.flags = context->rflags,
	};

	addresses[depth++] = regs.ip;
	for (unwind_start(&state, current, &regs, NULL); !unwind_done(&state) && depth < max;
	     unwind_next_frame(&state)) {
		unsigned long address = unwind_get_return_address(&state);

		if (!address)
			break;
		addresses[depth++] = address;
	}
	return depth;
}

/* Whole lines only. An oops in an NMI prints symbols in the same way. */
static s64 sym_stack_text(const u64 *addresses, unsigned int depth, char *out, size_t size)
{
	size_t length = 0;
	unsigned int i;

	for (i = 0; i < depth; i++) {
		/* A return address may be behind the end of its function. */
		const char *format = i ? "%pB\n" : "%pS\n";
		int n = snprintf(out + length, size - length, format, (void *)addresses[i]);

		if (n >= size - length)
			break;
		length += n;
	}
	return length;
}

static s64 sym_stack(const struct symbiotic_request *request)
{
	u64 addresses[64];
	unsigned int depth;

	if (!request->message)
		return -EOPNOTSUPP;
	if (!request->context)
		return -ENODATA;
	if (request->args[0] & ~(u64)SYM_STACK_SYMBOLS)
		return -EINVAL;
	if (request->context->cs & 3)
		return 0;
	depth = sym_stack_walk(request->context, addresses, ARRAY_SIZE(addresses));
	if (request->args[0] & SYM_STACK_SYMBOLS)
		return sym_stack_text(addresses, depth, request->message, SYM_MESSAGE_SIZE);
	memcpy(request->message, addresses, depth * sizeof(addresses[0]));
	return depth * sizeof(addresses[0]);
}

SYM_CALLS(stack) = {
	{
		.number = SYM_CALL_STACK,
		.name = "stack",
		.owner = THIS_MODULE,
		.handler = sym_stack,
	},
	{},
};
