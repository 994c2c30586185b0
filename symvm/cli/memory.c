// SPDX-License-Identifier: BSD-2-Clause
/* `symvm memory NAME [--size SIZE]` */
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/output.h"

static const struct argument memory_options[] = {
	{.name = "size",
	 .type = ARGUMENT_SIZE,
	 .metavar = "SIZE",
	 .key = "size",
	 .help = "Ask the guest to change its memory to SIZE: bytes, or with K, M, G. The guest "
		 "follows at its own pace"},
	CLIENT_JSON,
	{0},
};

static void print_memory(json_t *memory)
{
	static const struct describe_field fields[] = {
		{"size", "current", DESCRIBE_BYTES, 0},
		{"requested", "requested", DESCRIBE_BYTES, 0},
		{"minimum", "minimum", DESCRIBE_BYTES, 0},
		{"boot", "at boot", DESCRIBE_BYTES, 0},
		{"max", "maximum", DESCRIBE_BYTES, 0},
		{"host", "host memory in use", DESCRIBE_BYTES, 0},
		{0},
	};

	describe_fields(memory, fields);
	if (json_integer_value(json_object_get(memory, "max")) !=
	    json_integer_value(json_object_get(memory, "boot")))
		output_field(0, "guest's driver", "%s",
			     json_is_true(json_object_get(memory, "driver")) ? "ready"
									     : "not loaded");
}

static const struct command memory_command = {
	.name = "memory",
	.summary = "Show a VM's memory, or ask for more or less of it",
	.arguments = {.about = "Show how much memory a VM has, or ask its guest to have more or "
			       "less.",
		      .words = client_words,
		      .options = memory_options},
	.run = client_run,
	.print = print_memory,
};
COMMAND(memory_command);
