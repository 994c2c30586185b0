// SPDX-License-Identifier: BSD-2-Clause
/* `symvm who NAME --port P|--address A [...]` */
#include <errno.h>

#include "commands/client.h"
#include "commands/output.h"
#include "util/option.h"

enum { WHO_PORT = 256, WHO_ADDRESS, WHO_SIZE, WHO_COUNT, WHO_STACK, WHO_TIMEOUT, WHO_JSON };

struct who_options {
	const char *name;
	bool json;
	json_t *arguments;
	struct error *err;
};

static error_t take_number(struct who_options *options, const char *key, const char *arg)
{
	uint64_t value;

	if (option_parse_number(arg, &value) < 0 || value > INT64_MAX) {
		error_set(options->err, -EINVAL, "--%s: '%s' is not a number", key, arg);
		return EINVAL;
	}
	json_object_set_new(options->arguments, key, json_integer((json_int_t)value));
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct who_options *options = state->input;

	switch (key) {
	case WHO_PORT:
		return take_number(options, "port", arg);
	case WHO_ADDRESS:
		return take_number(options, "address", arg);
	case WHO_SIZE:
		return take_number(options, "size", arg);
	case WHO_COUNT:
		return take_number(options, "count", arg);
	case WHO_TIMEOUT:
		return take_number(options, "timeout", arg);
	case WHO_STACK:
		json_object_set_new(options->arguments, "stack", json_true());
		return 0;
	case WHO_JSON:
		options->json = true;
		return 0;
	case ARGP_KEY_ARG:
		return client_take_name(state, arg, &options->name, options->err);
	case ARGP_KEY_END:
		return client_need_name(state, options->name, options->err);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_exit(json_t *object)
{
	json_t *task = json_object_get(object, "task");
	json_t *address = json_object_get(object, "address");
	const char *comm = output_text(task, "comm", "?"), *mark = output_mark(comm);
	json_t *frame;
	size_t i;

	output_line("vCPU %lld: %s of %lld bytes at %s 0x%llx by %s%s%s, pid %lld, uid %lld%s",
		    json_integer_value(json_object_get(object, "vcpu")),
		    json_is_true(json_object_get(object, "write")) ? "write" : "read",
		    json_integer_value(json_object_get(object, "size")),
		    address ? "address" : "port",
		    json_integer_value(address ? address : json_object_get(object, "port")), mark,
		    comm, mark, json_integer_value(json_object_get(task, "pid")),
		    json_integer_value(json_object_get(task, "uid")),
		    json_is_true(json_object_get(task, "in_kernel")) ? ", in the kernel" : "");
	json_array_foreach(json_object_get(object, "stack"), i, frame)
	{
		const char *text = json_string_value(frame);

		output_line("        %s", text ? text : "?");
	}
}

static int print_result(const struct who_options *options, json_t *result)
{
	json_t *object;
	size_t i;

	if (options->json) {
		output_json(result);
	} else {
		json_array_foreach(json_object_get(result, "exits"), i, object) print_exit(object);
	}
	if (json_is_true(json_object_get(result, "complete")))
		return COMMAND_SUCCESS;
	command_error("who: too few such exits in time (%zu; %lld at which the guest could not be "
		      "asked)",
		      json_array_size(json_object_get(result, "exits")),
		      (long long)json_integer_value(json_object_get(result, "missed")));
	return COMMAND_FAILURE;
}

static int ask(struct who_options *options, struct error *err)
{
	json_t *limit = json_object_get(options->arguments, "timeout");
	unsigned timeout = CLIENT_TIMEOUT_MS;
	struct client client;
	json_t *result = NULL;
	int status = client_open(&client, options->name, err);

	if (json_integer_value(limit) > 0 && json_integer_value(limit) < 1000000)
		timeout += (unsigned)json_integer_value(limit);
	if (status == 0) {
		status = client_call(&client, "who", json_incref(options->arguments), timeout,
				     &result, err);
		client_close(&client);
	}
	if (status < 0) {
		command_error("who: %s", err->text);
		return COMMAND_FAILURE;
	}
	status = print_result(options, result);
	json_decref(result);
	return status;
}

static int who_run(int argc, char **argv)
{
	static const struct argp_option known[] = {
		{"port", WHO_PORT, "PORT", 0, "Exits by this I/O port", 0},
		{"address", WHO_ADDRESS, "GPA", 0, "Exits by this memory-mapped address", 0},
		{"size", WHO_SIZE, "N", 0, "That many ports or bytes (default 1)", 0},
		{"count", WHO_COUNT, "N", 0, "That many exits (default 1)", 0},
		{"stack", WHO_STACK, NULL, 0, "Ask for the kernel stack, too", 0},
		{"timeout", WHO_TIMEOUT, "MS", 0, "Wait at most this long (default 5000)", 0},
		{"json", WHO_JSON, NULL, 0, "Print JSON", 0},
		{0},
	};
	static const struct argp argp = {
		.options = known,
		.parser = parse_option,
		.args_doc = "NAME",
		.doc = "Tells which task of the guest causes certain exits: the VMM asks the guest "
		       "while it handles them.",
	};
	struct error err = {0};
	struct who_options options = {.arguments = json_object(), .err = &err};
	int status = command_parse_or_report(&argp, argc, argv, &options, &err);

	if (status < 0)
		status = ask(&options, &err);
	json_decref(options.arguments);
	return status;
}

static const struct command who_command = {
	.name = "who",
	.arguments = "NAME --port PORT|--address GPA [--count N] [--stack]",
	.summary = "Tell which task of the guest causes certain exits",
	.run = who_run,
};
COMMAND(who_command);
