// SPDX-License-Identifier: BSD-2-Clause
/* `symvm call NAME CALL [ARG...] [--vcpu N]` */
#include <errno.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/output.h"
#include "util/keyval.h"

struct call_options {
	const char *name;
	const char *call;
	uint64_t vcpu;
	json_t *args;
	struct error *err;
};

static error_t take_argument(struct call_options *options, char *arg)
{
	uint64_t value;

	if (!options->name) {
		options->name = arg;
		return 0;
	}
	if (!options->call) {
		options->call = arg;
		return 0;
	}
	if (keyval_parse_number(arg, &value) < 0) {
		error_set(options->err, -EINVAL, "'%s' is not a number", arg);
		return EINVAL;
	}
	json_array_append_new(options->args, json_integer((json_int_t)value));
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct call_options *options = state->input;

	switch (key) {
	case 'c':
		if (keyval_parse_number(arg, &options->vcpu) == 0)
			return 0;
		error_set(options->err, -EINVAL, "--vcpu: '%s' is not a number", arg);
		return EINVAL;
	case ARGP_KEY_ARG:
		return take_argument(options, arg);
	case ARGP_KEY_END:
		if (options->call)
			return 0;
		error_set(options->err, -EINVAL, "expected the VM's name and a call");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int make_call(struct call_options *options, struct error *err)
{
	json_t *arguments = json_pack("{s:I, s:O}", "vcpu", (json_int_t)options->vcpu, "args",
				      options->args);
	json_t *result = NULL;
	uint64_t number;

	if (keyval_parse_number(options->call, &number) == 0)
		json_object_set_new(arguments, "number", json_integer((json_int_t)number));
	else
		json_object_set_new(arguments, "call", json_string(options->call));
	if (client_ask(options->name, "call", arguments, &result, err) < 0) {
		command_error("call: %s", err->text);
		return COMMAND_FAILURE;
	}
	output_json(result);
	json_decref(result);
	return COMMAND_SUCCESS;
}

static int call_run(int argc, char **argv)
{
	static const struct argp_option known[] = {
		{"vcpu", 'c', "N", 0, "The vCPU to call on (default 0)", 0},
		{0},
	};
	static const struct argp argp = {
		.options = known,
		.parser = parse_option,
		.args_doc = "NAME CALL [ARG...]",
		.doc = "Calls into a running guest: ping A B, whoami, meminfo, stack, or an atomic "
		       "call by its number. The answer is JSON.",
	};
	struct error err = {0};
	struct call_options options = {.args = json_array(), .err = &err};
	int status = command_parse_or_report(&argp, argc, argv, &options, &err);

	if (status < 0)
		status = make_call(&options, &err);
	json_decref(options.args);
	return status;
}

static const struct command call_command = {
	.name = "call",
	.arguments = "NAME CALL [ARG...] [--vcpu N]",
	.summary = "Call into a running guest and print its answer",
	.run = call_run,
};
COMMAND(call_command);
