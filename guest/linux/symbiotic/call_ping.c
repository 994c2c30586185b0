// SPDX-License-Identifier: GPL-2.0-only
/* SYM_CALL_PING and its safepoint twin: (a, b) -> a + b. */
#include <linux/module.h>
#include "calls.h"

static s64 sym_ping(const struct symbiotic_request *request)
{
	return request->args[0] + request->args[1];
}

const struct symbiotic_call sym_call_ping = {
	.number = SYM_CALL_PING,
	.name = "ping",
	.owner = THIS_MODULE,
	.handler = sym_ping,
};

const struct symbiotic_call sym_call_safepoint_ping = {
	.number = SYM_CALL_SAFEPOINT_PING,
	.name = "safepoint-ping",
	.owner = THIS_MODULE,
	.handler = sym_ping,
};
