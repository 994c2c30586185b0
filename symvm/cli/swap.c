// SPDX-License-Identifier: BSD-2-Clause
/* `symvm swap NAME [--budget SIZE] [--policy POLICY]` */
#include <stdlib.h>

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
			   ? ", more than the budget: it is being lowered, or slots cannot be moved"
			   : "");
	print_size(1, "in the window", number(window, "resident"), "");
	print_size(1, "of that, mapped", number(window, "mapped"), "");
	print_size(1, "compressed", number(window, "compressed"), "");
	print_size(0, "spilled", number(window, "spilled"), "");
	output_field(0, "spill store", "%s", output_text(window, "spill", "none"));
	output_field(0, "compression", "%s", output_text(window, "compress", "?"));
	output_field(0, "full", "%s",
		     json_is_true(json_object_get(window, "full")) ? "yes: the guest asks for space"
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
