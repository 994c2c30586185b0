// SPDX-License-Identifier: BSD-2-Clause
/* `symvm who NAME --port PORT|--address GPA [OPTION]...` */
#include "cli/client.h"
#include "cli/output.h"

static const struct argument who_options[] = {
	{.name = "port",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "PORT",
	 .key = "port",
	 .help = "Exits at this I/O port"},
	{.name = "address",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "GPA",
	 .key = "address",
	 .help = "Exits at this memory-mapped address"},
	{.name = "size",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .key = "size",
	 .help = "Watch N ports or bytes (default: 1)"},
	{.name = "count",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .key = "count",
	 .help = "Report N exits (default: 1)"},
	{.name = "stack",
	 .type = ARGUMENT_FLAG,
	 .key = "stack",
	 .help = "Ask for the kernel stack, too"},
	{.name = "timeout",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "MS",
	 .key = "timeout",
	 .help = "Wait at most this long (default: 5000)"},
	CLIENT_JSON,
	{0},
};

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

/* Whether the requested ports overlap those of @doorbells. */
static bool asked_for(const struct command_input *input, json_t *doorbells)
{
	json_t *port = json_object_get(input->request, "port");
	json_int_t size = json_integer_value(json_object_get(input->request, "size"));
	json_int_t first = json_integer_value(port), last = first + (size > 0 ? size : 1) - 1;
	json_int_t base = json_integer_value(json_object_get(doorbells, "port"));
	json_int_t ports = json_integer_value(json_object_get(doorbells, "ports"));

	return json_is_integer(port) && base >= 0 && base <= 0xffff && ports > 0 &&
	       ports <= 0x10000 && first <= base + ports - 1 && last >= base;
}

/*
 * KVM itself serves the doorbells of virtio queues, so they cause no exits to attribute. Returns
 * the range of each device whose doorbells overlap the request.
 */
static json_t *find_doorbells(const struct command_input *input)
{
	json_t *found = json_array(), *info = NULL, *device, *doorbells;
	struct error err;
	size_t i;

	if (client_ask(input->vm, "info", NULL, &info, &err) < 0)
		return found;
	json_array_foreach(json_object_get(info, "devices"), i, device) {
		doorbells = json_object_get(device, "doorbells");
		if (asked_for(input, doorbells))
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

static int print_result(const struct command_input *input, json_t *result)
{
	bool complete = json_is_true(json_object_get(result, "complete"));
	json_t *object;
	size_t i;

	if (!complete)
		json_object_set_new(result, "doorbells", find_doorbells(input));
	if (input->json) {
		output_json(result);
	} else {
		json_array_foreach(json_object_get(result, "exits"), i, object)
			print_exit(object);
	}
	if (complete)
		return COMMAND_SUCCESS;
	report_doorbells(json_object_get(result, "doorbells"));
	command_error("who: too few such exits in time (%zu; the guest could not be asked at %lld)",
		      json_array_size(json_object_get(result, "exits")),
		      (long long)json_integer_value(json_object_get(result, "missed")));
	return COMMAND_FAILURE;
}

static int who_run(const struct command *command, struct command_input *input)
{
	json_int_t limit = json_integer_value(json_object_get(input->request, "timeout"));
	unsigned timeout = CLIENT_TIMEOUT_MS;
	struct client client;
	struct error err;
	json_t *result = NULL;
	int status = client_open(&client, input->vm, &err);

	if (limit > 0 && limit < 1000000)
		timeout += (unsigned)limit;
	if (status == 0) {
		status = client_call(&client, "who", json_incref(input->request), timeout, &result,
				     &err);
		client_close(&client);
	}
	if (status < 0) {
		command_error("who: %s", err.text);
		return COMMAND_FAILURE;
	}
	status = print_result(input, result);
	json_decref(result);
	return status;
}

static const struct command who_command = {
	.name = "who",
	.summary = "Show which task of the guest causes certain exits",
	.arguments = {.about = "Show which task of the guest causes certain exits: the VMM asks "
			       "the guest while it handles them.",
		      .words = client_words,
		      .options = who_options},
	.run = who_run,
};
COMMAND(who_command);
