// SPDX-License-Identifier: BSD-2-Clause
/* `symvm who NAME --port P|--address A [...]` */
#include <errno.h>

#include "cli/client.h"
#include "cli/output.h"
#include "util/keyval.h"

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

	if (keyval_parse_number(arg, &value) < 0 || value > INT64_MAX) {
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
	json_array_foreach(json_object_get(object, "stack"), i, frame) {
		const char *text = json_string_value(frame);

		output_line("        %s", text ? text : "?");
	}
}

/* Whether the ports that were asked for meet those of @doorbells. */
static bool asked_for(const struct who_options *options, json_t *doorbells)
{
	json_t *port = json_object_get(options->arguments, "port");
	json_int_t size = json_integer_value(json_object_get(options->arguments, "size"));
	json_int_t first = json_integer_value(port), last = first + (size > 0 ? size : 1) - 1;
	json_int_t base = json_integer_value(json_object_get(doorbells, "port"));
	json_int_t ports = json_integer_value(json_object_get(doorbells, "ports"));

	return json_is_integer(port) && base >= 0 && base <= 0xffff && ports > 0 &&
	       ports <= 0x10000 && first <= base + ports - 1 && last >= base;
}

/*
 * Doorbells of virtio queues are answered by KVM itself, so no exit comes to be attributed. The
 * range of each device whose doorbells were asked for, in words.
 */
static json_t *find_doorbells(const struct who_options *options)
{
	json_t *found = json_array(), *info = NULL, *device, *doorbells;
	struct error err;
	size_t i;

	if (client_ask(options->name, "info", NULL, &info, &err) < 0)
		return found;
	json_array_foreach(json_object_get(info, "devices"), i, device) {
		doorbells = json_object_get(device, "doorbells");
		if (asked_for(options, doorbells))
			json_array_append_new(found,
					      json_pack("{s:s, s:O, s:O}", "device",
							output_text(device, "name", "?"), "port",
							json_object_get(doorbells, "port"), "ports",
							json_object_get(doorbells, "ports")));
	}
	json_decref(info);
	return found;
}

static void report_doorbells(json_t *doorbells)
{
	json_t *entry;
	size_t i;

	json_array_foreach(doorbells, i, entry) {
		json_int_t port = json_integer_value(json_object_get(entry, "port"));
		json_int_t ports = json_integer_value(json_object_get(entry, "ports"));

		command_error("who: ports 0x%llx to 0x%llx are the doorbells of '%s': served by "
			      "ioeventfd, without exits to attribute",
			      port, port + ports - 1, output_text(entry, "device", "?"));
	}
}

static int print_result(const struct who_options *options, json_t *result)
{
	bool complete = json_is_true(json_object_get(result, "complete"));
	json_t *object;
	size_t i;

	if (!complete)
		json_object_set_new(result, "doorbells", find_doorbells(options));
	if (options->json) {
		output_json(result);
	} else {
		json_array_foreach(json_object_get(result, "exits"), i, object)
			print_exit(object);
	}
	if (complete)
		return COMMAND_SUCCESS;
	report_doorbells(json_object_get(result, "doorbells"));
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
