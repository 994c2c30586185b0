// SPDX-License-Identifier: BSD-2-Clause
/* `symvm swap NAME [--budget SIZE] [--policy POLICY]` */
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/format.h"
#include "cli/output.h"

static const struct argument swap_options[] = {
	{.name = "budget",
	 .type = ARGUMENT_SIZE,
	 .metavar = "SIZE",
	 .key = "budget",
	 .help = "Host memory that slots may use, in bytes or with K, M, G. A budget below the "
		 "current use is reached gradually"},
	{.name = "window",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .key = "window",
	 .maximum = UINT32_MAX,
	 .help = "Apply the budget to window N, if the VM has several"},
	{.name = "policy",
	 .type = ARGUMENT_TEXT,
	 .metavar = "POLICY",
	 .key = "policy",
	 .help = "What the VMM does with swap-ins: off, copy, grant, map or auto"},
	CLIENT_JSON,
	{0},
};

static void print_window(json_t *window)
{
	static const struct describe_field head[] = {
		{"window", "window", DESCRIBE_NUMBER, 0},
		{"size", "size", DESCRIBE_BYTES, 0},
		{"budget", "budget", DESCRIBE_BYTES, 0},
		{0},
	};
	static const struct describe_field fields[] = {
		{"resident", "in the window", DESCRIBE_BYTES, 1},
		{"mapped", "of that, mapped", DESCRIBE_BYTES, 1},
		{"compressed", "compressed", DESCRIBE_BYTES, 1},
		{"spilled", "spilled", DESCRIBE_BYTES, 0},
		{"spill", "spill store", DESCRIBE_COUNT, 0},
		{"compress", "compression", DESCRIBE_COUNT, 0},
		{"full", "full", DESCRIBE_COUNT, 0},
		{"slots", "slots", DESCRIBE_COUNTERS, 0},
		{"counters", "counters", DESCRIBE_COUNTERS, 0},
		{0},
	};
	uint64_t used = (uint64_t)json_integer_value(json_object_get(window, "resident")) +
			(uint64_t)json_integer_value(json_object_get(window, "compressed"));
	uint64_t budget = (uint64_t)json_integer_value(json_object_get(window, "budget"));
	char size[32];

	describe_fields(window, head);
	format_size(size, sizeof(size), used);
	output_field(0, "host memory in use", "%s%s", size,
		     used > budget ? ", more than the budget: it is being lowered, or slots cannot "
				     "be moved"
				   : "");
	describe_fields(window, fields);
}

static void print_swap(json_t *swap)
{
	static const struct describe_field fields[] = {
		{"policy", "policy", DESCRIBE_COUNT, 0},
		{"decisions", "decisions", DESCRIBE_COUNTERS, 0},
		{"given_bytes", "RAM given", DESCRIBE_BYTES, 0},
		{"taken_bytes", "RAM taken back", DESCRIBE_BYTES, 0},
		{0},
	};
	json_t *policy = json_object_get(swap, "policy"), *window;
	size_t i;

	json_array_foreach(json_object_get(swap, "windows"), i, window)
		print_window(window);
	if (json_is_object(policy))
		describe_fields(policy, fields);
}

static const struct command swap_command = {
	.name = "swap",
	.summary = "Show a VM's slot stores, or change their budget or policy",
	.arguments = {.about = "Show a VM's slot stores, or change their budget or the policy "
			       "while it runs.",
		      .words = client_words,
		      .options = swap_options},
	.run = client_run,
	.print = print_swap,
};
COMMAND(swap_command);
