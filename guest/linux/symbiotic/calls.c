// SPDX-License-Identifier: GPL-2.0-only
#include <linux/kernel.h>
#include "calls.h"
#include "internal.h"

static const struct symbiotic_call *const sym_calls[] = {
	&sym_call_ping,	   &sym_call_safepoint_ping, &sym_call_whoami,
	&sym_call_meminfo, &sym_call_stack,	     &sym_call_tasks,
};

/* sym_calls_register - may sleep; all or none. */
int sym_calls_register(void)
{
	unsigned int i;
	int error;

	sym_tasks_init();
	for (i = 0; i < ARRAY_SIZE(sym_calls); i++) {
		error = symbiotic_call_register(sym_calls[i]);
		if (error) {
			sym_calls_unregister();
			return error;
		}
	}
	return 0;
}

void sym_calls_unregister(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sym_calls); i++)
		symbiotic_call_unregister(sym_calls[i]);
	sym_tasks_exit();
}
