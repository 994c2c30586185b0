// SPDX-License-Identifier: BSD-2-Clause
/* `symvm memory NAME [--size SIZE]` */
#include <errno.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/output.h"
#include "util/keyval.h"

enum {
	KEY_SIZE = 256,
	KEY_JSON,
};

struct memory_options {
	const char *name;
	uint64_t size;
	bool resize;
	bool json;
	struct error *err;
};

static const struct argp_option memory_option_table[] = {
	{"size", KEY_SIZE, "SIZE", 0,
	 "Ask the guest to have so much, in bytes or with K, M, G; it follows in its own time", 0},
	{"json", KEY_JSON, NULL, 0, "Print JSON", 0},
	{0},
};

static error_t parse_memory(int key, char *arg, struct argp_state *state)
{
	struct memory_options *options = state->input;

	switch (key) {
	case KEY_SIZE:
		options->resize = true;
		if (keyval_parse_size(arg, &options->size) == 0 && options->size <= INT64_MAX)
			return 0;
		error_set(options->err, -EINVAL, "--size: '%s' is not a size", arg);
		return EINVAL;
	case KEY_JSON:
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

static void print_memory(json_t *memory)
{
	static const struct {
		const char *key, *text;
	} lines[] = {
		{"size", "the guest has"},   {"requested", "is asked to have"},
		{"minimum", "at least"},     {"boot", "booted with"},
		{"max", "may have at most"}, {"host", "host memory in use"},
	};
	char size[32];

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		format_size(size, sizeof(size),
			    (uint64_t)json_integer_value(json_object_get(memory, lines[i].key)));
		output_field(0, lines[i].text, "%s", size);
	}
	if (json_integer_value(json_object_get(memory, "max")) !=
	    json_integer_value(json_object_get(memory, "boot")))
		output_field(0, "guest's driver", "%s",
			     json_is_true(json_object_get(memory, "driver")) ? "ready"
									     : "not there");
}

static int memory_run(int argc, char **argv)
{
	const struct argp argp = {
		.options = memory_option_table,
		.parser = parse_memory,
		.args_doc = "NAME",
		.doc = "Show how much memory a VM has, or ask its guest to have more or less.",
	};
	struct error err;
	struct memory_options options = {.err = &err};
	json_t *arguments = NULL, *memory = NULL;
	int status = command_parse_or_report(&argp, argc, argv, &options, &err);

	if (status >= 0)
		return status;
	if (options.resize)
		arguments = json_pack("{s:I}", "size", (json_int_t)options.size);
	if (client_ask(options.name, "memory", arguments, &memory, &err) < 0) {
		command_error("memory: %s", err.text);
		return COMMAND_FAILURE;
	}
	if (options.json)
		output_json(memory);
	else
		print_memory(memory);
	json_decref(memory);
	return COMMAND_SUCCESS;
}

static const struct command memory_command = {
	.name = "memory",
	.arguments = "NAME [--size SIZE] [--json]",
	.summary = "Show a VM's memory, or ask for more or less of it",
	.run = memory_run,
};
COMMAND(memory_command);
