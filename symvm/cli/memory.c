// SPDX-License-Identifier: BSD-2-Clause
/* `symvm memory NAME [--size SIZE] [--cgroups N]` */
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
	{.name = "cgroups",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .minimum = 1,
	 .maximum = 64,
	 .key = "cgroups",
	 .help = "Show the N cgroups of the guest that have most memory, their children's "
		 "included"},
	CLIENT_JSON,
	{0},
};

/* Hundredths of a percent. */
static void print_pressure(json_t *pressure, const char *label, const char *some, const char *full)
{
	output_field(1, label, "some %.2f %%, full %.2f %%",
		     (double)json_integer_value(json_object_get(pressure, some)) / 100,
		     (double)json_integer_value(json_object_get(pressure, full)) / 100);
}

static void print_guest(json_t *guest)
{
	static const struct describe_field fields[] = {
		{"mem_total", "total", DESCRIBE_BYTES, 1},
		{"mem_available", "available", DESCRIBE_BYTES, 1},
		{"mem_free", "free", DESCRIBE_BYTES, 1},
		{"anon", "anonymous", DESCRIBE_BYTES, 1},
		{"file", "page cache", DESCRIBE_BYTES, 1},
		{"shmem", "of that, shared", DESCRIBE_BYTES, 1},
		{"dirty", "of that, dirty", DESCRIBE_BYTES, 1},
		{"slab_reclaimable", "slab, reclaimable", DESCRIBE_BYTES, 1},
		{"slab_unreclaimable", "slab, other", DESCRIBE_BYTES, 1},
		{"page_tables", "page tables", DESCRIBE_BYTES, 1},
		{"kernel_stacks", "kernel stacks", DESCRIBE_BYTES, 1},
		{"swap_total", "swap space", DESCRIBE_BYTES, 1},
		{"swap_free", "swap space, free", DESCRIBE_BYTES, 1},
		{"swap_in", "pages swapped in", DESCRIBE_COUNT, 1},
		{"swap_out", "pages swapped out", DESCRIBE_COUNT, 1},
		{"major_faults", "major faults", DESCRIBE_COUNT, 1},
		{"refault_anon", "refaults, anonymous", DESCRIBE_COUNT, 1},
		{"refault_file", "refaults, files", DESCRIBE_COUNT, 1},
		{0},
	};
	json_t *pressure = json_object_get(guest, "pressure");

	output_field(0, "the guest's kernel", "%s", "");
	describe_fields(guest, fields);
	if (json_is_object(pressure)) {
		print_pressure(pressure, "pressure, memory", "memory_some", "memory_full");
		print_pressure(pressure, "pressure, I/O", "io_some", "io_full");
		print_pressure(pressure, "pressure, CPU", "cpu_some", "cpu_full");
	}
}

static void print_cgroups(json_t *cgroups)
{
	static const struct describe_column columns[] = {
		{"MEMORY", true, "memory", DESCRIBE_BYTES},
		{"LIMIT", true, "limit_shown", DESCRIBE_BYTES},
		{"SWAP", true, "swap", DESCRIBE_BYTES},
		{"SOME/%", true, "some", DESCRIBE_COUNT},
		{"FULL/%", true, "full", DESCRIBE_COUNT},
		{"CGROUP", false, "path", DESCRIBE_COUNT},
	};
	json_t *group;
	size_t i;

	json_array_foreach(cgroups, i, group) {
		json_t *limit = json_object_get(group, "limit");
		double some = (double)json_integer_value(json_object_get(group, "pressure_some"));
		double full = (double)json_integer_value(json_object_get(group, "pressure_full"));

		json_object_set_new(group, "limit_shown",
				    json_is_integer(limit) ? json_incref(limit) : json_string("-"));
		json_object_set_new(group, "some", json_sprintf("%.2f", some / 100));
		json_object_set_new(group, "full", json_sprintf("%.2f", full / 100));
	}
	describe_table(cgroups, columns, sizeof(columns) / sizeof(columns[0]));
}

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
	if (json_is_object(json_object_get(memory, "guest")))
		print_guest(json_object_get(memory, "guest"));
	else if (json_string_value(json_object_get(memory, "guest_error")))
		output_field(0, "the guest's kernel", "%s",
			     output_text(memory, "guest_error", "?"));
	if (json_is_array(json_object_get(json_object_get(memory, "guest"), "cgroups")))
		print_cgroups(json_object_get(json_object_get(memory, "guest"), "cgroups"));
}

/* The guest's part of @answer, or why it is missing: that does not hide what the VM says. */
static void add_guest(const char *vm, json_t *cgroups, json_t *answer)
{
	json_t *guest = NULL, *request = json_object();
	struct error err;

	if (cgroups)
		json_object_set(request, "cgroups", cgroups);
	if (client_ask(vm, "memory_use", request, &guest, &err) == 0)
		json_object_set_new(answer, "guest", guest);
	else
		json_object_set_new(answer, "guest_error", json_string(err.text));
}

static int memory_run(const struct command *command, struct command_input *input)
{
	json_t *size = json_object_get(input->request, "size"), *request = json_object(), *answer;
	struct error err;

	if (size)
		json_object_set(request, "size", size);
	if (client_ask(input->vm, "memory", request, &answer, &err) < 0) {
		command_error("memory: %s", err.text);
		return COMMAND_FAILURE;
	}
	if (!size)
		add_guest(input->vm, json_object_get(input->request, "cgroups"), answer);
	if (input->json)
		output_json(answer);
	else
		print_memory(answer);
	json_decref(answer);
	return COMMAND_SUCCESS;
}

static const struct command memory_command = {
	.name = "memory",
	.summary = "Show a VM's memory, or ask for more or less of it",
	.arguments = {.about = "Show how much memory a VM has and what its guest does with it, or "
			       "ask its guest to have more or less.",
		      .words = client_words,
		      .options = memory_options},
	.run = memory_run,
};
COMMAND(memory_command);
