// SPDX-License-Identifier: BSD-2-Clause
/* `symvm swap NAME [--budget SIZE] [--policy POLICY]` */
#include <errno.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/describe.h"
#include "cli/format.h"
#include "cli/output.h"
#include "util/keyval.h"

enum {
	KEY_BUDGET = 256,
	KEY_WINDOW,
	KEY_POLICY,
	KEY_JSON,
};

struct swap_options {
	const char *name;
	json_t *arguments;
	bool json;
	struct error *err;
};

static const struct argp_option swap_option_table[] = {
	{"budget", KEY_BUDGET, "SIZE", 0,
	 "Host memory that slots may use, in bytes or with K, M, G; a budget below the current use "
	 "is reached by and by",
	 0},
	{"window", KEY_WINDOW, "N", 0, "Of which window, where there are several", 0},
	{"policy", KEY_POLICY, "POLICY", 0,
	 "What becomes of swap-ins: off, copy, grant, map or auto", 0},
	{"json", KEY_JSON, NULL, 0, "Print JSON", 0},
	{0},
};

static error_t parse_swap(int key, char *arg, struct argp_state *state)
{
	struct swap_options *options = state->input;
	uint64_t value;

	switch (key) {
	case KEY_BUDGET:
		if (keyval_parse_size(arg, &value) < 0 || value > INT64_MAX) {
			error_set(options->err, -EINVAL, "--budget: '%s' is not a size", arg);
			return EINVAL;
		}
		json_object_set_new(options->arguments, "budget", json_integer((json_int_t)value));
		return 0;
	case KEY_WINDOW:
		if (keyval_parse_number(arg, &value) < 0 || value > UINT32_MAX) {
			error_set(options->err, -EINVAL, "--window: '%s' is not a number", arg);
			return EINVAL;
		}
		json_object_set_new(options->arguments, "window", json_integer((json_int_t)value));
		return 0;
	case KEY_POLICY:
		json_object_set_new(options->arguments, "policy", json_string(arg));
		return 0;
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

static uint64_t number(json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void print_counters(const char *title, json_t *object)
{
	char *text = describe_counters(object);

	output_field(0, title, "%s", text ? text : "?");
	free(text);
}

static void print_size(unsigned depth, const char *title, uint64_t bytes, const char *note)
{
	char size[32];

	format_size(size, sizeof(size), bytes);
	output_field(depth, title, "%s%s", size, note);
}

static void print_window(json_t *window)
{
	uint64_t used = number(window, "resident") + number(window, "compressed");
	uint64_t budget = number(window, "budget");

	output_field(0, "window", "%llu", (unsigned long long)number(window, "window"));
	print_size(0, "size", number(window, "size"), "");
	print_size(0, "budget", budget, "");
	print_size(0, "host memory in use", used,
		   used > budget
			   ? ", more than the budget: it is being lowered, or slots can't be moved"
			   : "");
	print_size(1, "in the window", number(window, "resident"), "");
	print_size(1, "of it mapped", number(window, "mapped"), "");
	print_size(1, "compressed", number(window, "compressed"), "");
	print_size(0, "spilled", number(window, "spilled"), "");
	output_field(0, "spill store", "%s", output_text(window, "spill", "none"));
	output_field(0, "compression", "%s", output_text(window, "compress", "?"));
	output_field(0, "full", "%s",
		     json_is_true(json_object_get(window, "full")) ? "yes: the guest asks for room"
								   : "no");
	print_counters("slots", json_object_get(window, "slots"));
	print_counters("counters", json_object_get(window, "counters"));
}

static void print_swap(json_t *swap)
{
	json_t *policy = json_object_get(swap, "policy"), *window;
	size_t i;

	json_array_foreach(json_object_get(swap, "windows"), i, window)
		print_window(window);
	if (!json_is_object(policy))
		return;
	output_field(0, "policy", "%s", output_text(policy, "policy", "?"));
	print_counters("decisions", json_object_get(policy, "decisions"));
	print_size(0, "RAM given", number(policy, "given_bytes"), "");
	print_size(0, "RAM taken back", number(policy, "taken_bytes"), "");
}

static int swap_ask(struct swap_options *options)
{
	json_t *swap = NULL;

	if (client_ask(options->name, "swap", json_incref(options->arguments), &swap,
		       options->err) < 0) {
		command_error("swap: %s", options->err->text);
		return COMMAND_FAILURE;
	}
	if (options->json)
		output_json(swap);
	else
		print_swap(swap);
	json_decref(swap);
	return COMMAND_SUCCESS;
}

static int swap_run(int argc, char **argv)
{
	const struct argp argp = {
		.options = swap_option_table,
		.parser = parse_swap,
		.args_doc = "NAME",
		.doc = "Show a VM's slot stores, or change their budget or the policy, while it "
		       "runs.",
	};
	struct error err;
	struct swap_options options = {.err = &err, .arguments = json_object()};
	int status = command_parse_or_report(&argp, argc, argv, &options, &err);

	if (status < 0)
		status = swap_ask(&options);
	json_decref(options.arguments);
	return status;
}

static const struct command swap_command = {
	.name = "swap",
	.arguments = "NAME [--budget SIZE] [--policy POLICY] [--json]",
	.summary = "Show a VM's slot stores, or change their budget or policy",
	.run = swap_run,
};
COMMAND(swap_command);
