// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_PING and SYM_CALL_SAFEPOINT_PING: (a, b) -> a + b. */
#include <linux/module.h>
#include "calls.h"

static s64 sym_ping(const struct symbiotic_request *request)
{
	return request->args[0] + request->args[1];
}

SYM_CALLS(ping) = {
	{
		.number = SYM_CALL_PING,
		.name = "ping",
		.owner = THIS_MODULE,
		.handler = sym_ping,
	},
	{
		.number = SYM_CALL_SAFEPOINT_PING,
		.name = "safepoint-ping",
		.owner = THIS_MODULE,
		.handler = sym_ping,
	},
	{},
};
