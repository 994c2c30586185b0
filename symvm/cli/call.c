// SPDX-License-Identifier: BSD-2-Clause
/* `symvm call NAME CALL [ARG]... [--vcpu N]` */
#include <errno.h>

#include "cli/client.h"
#include "util/keyval.h"

/* A call is known by its name or by its number. */
static int take_call(void *input, const struct argument *argument, const char *value,
		     struct error *err)
{
	json_t *request = ((struct command_input *)input)->request;
	uint64_t number;

	if (keyval_parse_number(value, &number) == 0)
		json_object_set_new(request, "number", json_integer((json_int_t)number));
	else if (json_object_set_new(request, "call", json_string(value)) < 0)
		return error_set(err, -EINVAL, "call: '%s' is not UTF-8", value);
	return 0;
}

static const struct argument call_words[] = {
	CLIENT_NAME,
	{.name = "CALL",
	 .type = ARGUMENT_CUSTOM,
	 .metavar = "CALL",
	 .take = take_call,
	 .help = "ping, whoami, meminfo, stack, or the number of an atomic call"},
	{.name = "ARG",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "ARG",
	 .key = "args",
	 .maximum = UINT64_MAX,
	 .help = "A number for the call",
	 .optional = true,
	 .repeated = true},
	{0},
};

static const struct argument call_options[] = {
	{.name = "vcpu",
	 .letter = 'c',
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .key = "vcpu",
	 .help = "Call on this vCPU (default: 0)"},
	{0},
};

static const struct command call_command = {
	.name = "call",
	.summary = "Call into a running guest and print its answer",
	.arguments = {.about = "Call into a running guest, and print its answer as JSON.",
		      .words = call_words,
		      .options = call_options},
	.run = client_run,
};
COMMAND(call_command);
