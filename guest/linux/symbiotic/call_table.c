// SPDX-License-Identifier: GPL-2.0-only
/* The table of all calls, made from the files that Kbuild found (calls.h). */
#include <linux/kernel.h>
#include "calls.h"
#include "internal.h"

#define SYM_CALL_FILE(file) extern const struct symbiotic_call sym_calls_##file[];
#include "call_files.h"
#undef SYM_CALL_FILE

static const struct symbiotic_call *const sym_call_table[] = {
#define SYM_CALL_FILE(file) sym_calls_##file,
#include "call_files.h"
#undef SYM_CALL_FILE
};

/* sym_calls_register - registers all calls or, with an errno, none. May sleep. */
int sym_calls_register(void)
{
	const struct symbiotic_call *call;
	unsigned int i;
	int error;

	for (i = 0; i < ARRAY_SIZE(sym_call_table); i++) {
		for (call = sym_call_table[i]; call->handler; call++) {
			error = symbiotic_call_register(call);
			if (error) {
				sym_calls_unregister();
				return error;
			}
		}
	}
	return 0;
}

void sym_calls_unregister(void)
{
	const struct symbiotic_call *call;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sym_call_table); i++)
		for (call = sym_call_table[i]; call->handler; call++)
			symbiotic_call_unregister(call);
}
