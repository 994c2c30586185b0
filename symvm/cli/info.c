// SPDX-License-Identifier: BSD-2-Clause
/* `symvm info NAME [--json]` */
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"
#include "cli/describe.h"
#include "cli/format.h"
#include "cli/output.h"

/* print_head() shows this part of memory, so it is not shown again. */
static void print_head(json_t *info)
{
	static const struct describe_field fields[] = {
		{"name", "name", DESCRIBE_COUNT, 0},
		{"pid", "pid", DESCRIBE_NUMBER, 0},
		{"state", "state", DESCRIBE_COUNT, 0},
		{"uptime_seconds", "uptime", DESCRIBE_SECONDS, 0},
		{"kernel", "kernel", DESCRIBE_COUNT, 0},
		{0},
	};
	static const struct describe_field last[] = {{"cpus", "cpus", DESCRIBE_NUMBER, 0}, {0}};
	static const char *const shown[] = {"size", "huge_pages", "regions", NULL};
	json_t *memory = json_object_get(info, "memory");
	char size[32];

	describe_fields(info, fields);
	format_size(size, sizeof(size),
		    (uint64_t)json_integer_value(json_object_get(memory, "size")));
	output_field(0, "memory", "%s%s", size,
		     json_is_true(json_object_get(memory, "huge_pages")) ? ", huge pages" : "");
	describe_print(1, memory, shown);
	describe_fields(info, last);
}

/* The values that are neither objects nor shown above: anything else that a VM reports. */
static void print_others(json_t *info)
{
	static const char *const shown[] = {"name",   "pid",  "state",	 "uptime_seconds", "kernel",
					    "memory", "cpus", "devices", "vcpus",	   NULL};
	json_t *rest = json_object(), *value;
	const char *key;

	json_object_foreach(info, key, value) {
		if (!json_is_object(value))
			json_object_set(rest, key, value);
	}
	describe_print(0, rest, shown);
	json_decref(rest);
	/* Sections that services add: everything that is an object of its own. */
	json_object_foreach(info, key, value) {
		if (!json_is_object(value) || strcmp(key, "memory") == 0)
			continue;
		output_field(0, key, "%s", "");
		describe_print(1, value, NULL);
	}
}

static void print_devices(json_t *devices)
{
	static const char *const shown[] = {"name", "type", NULL};
	json_t *device;
	size_t i;

	json_array_foreach(devices, i, device) {
		output_field(0, "device", "%s (%s)", output_text(device, "name", "?"),
			     output_text(device, "type", "?"));
		describe_print(1, device, shown);
	}
}

static void print_vcpus(json_t *vcpus)
{
	static const char *const shown[] = {"id", "exits", "exits_total", NULL};
	json_t *vcpu;
	size_t i;

	json_array_foreach(vcpus, i, vcpu) {
		char *exits = describe_counters(json_object_get(vcpu, "exits"));
		char total[32];

		format_count(total, sizeof(total),
			     json_integer_value(json_object_get(vcpu, "exits_total")));
		output_field(0, "vCPU", "%zu", i);
		output_field(1, "exits", "%s", total);
		output_field(1, "by reason", "%s", exits ? exits : "?");
		free(exits);
		describe_print(1, vcpu, shown);
	}
}

static void print_info(json_t *info)
{
	print_head(info);
	print_others(info);
	print_devices(json_object_get(info, "devices"));
	print_vcpus(json_object_get(info, "vcpus"));
}

static const struct command info_command = {
	.name = "info",
	.summary = "Show a VM's state, devices and exit counters",
	.arguments = {.about = "Show a VM's state, devices and exit counters while it runs.",
		      .words = client_words,
		      .options = client_json_options},
	.run = client_run,
	.print = print_info,
};
COMMAND(info_command);
