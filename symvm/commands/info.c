// SPDX-License-Identifier: BSD-2-Clause
/* `symvm info NAME [--json]` */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands/client.h"
#include "commands/format.h"

#define LABEL "%-12s "

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

static void print_value(const char *key, json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		printf("  %s=%s", key, json_string_value(value));
		return;
	}
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	printf("  %s=%s", key, text ? text : "?");
	free(text);
}

static void print_devices(json_t *devices)
{
	json_t *device, *value;
	const char *key;
	size_t i;

	json_array_foreach(devices, i, device)
	{
		printf(LABEL "%s (%s)", i == 0 ? "devices" : "", text_of(device, "name"),
		       text_of(device, "type"));
		json_object_foreach(device, key,
				    value) if (strcmp(key, "name") != 0 && strcmp(key, "type") != 0)
			print_value(key, value);
		putchar('\n');
	}
}

static void print_vcpus(json_t *vcpus)
{
	json_t *vcpu, *exits, *value;
	const char *key;
	size_t i;

	json_array_foreach(vcpus, i, vcpu)
	{
		exits = json_object_get(vcpu, "exits");
		printf("vcpu%-8zu exits", i);
		print_value("total", json_object_get(vcpu, "exits_total"));
		json_object_foreach(exits, key, value) print_value(key, value);
		printf("\n" LABEL "     ", "");
		json_object_foreach(vcpu, key, value) if (json_is_integer(value) &&
							  strcmp(key, "id") != 0 &&
							  strcmp(key, "exits_total") != 0)
			print_value(key, value);
		putchar('\n');
	}
}

/* Sections that services add: whatever is an object of its own. */
static void print_others(json_t *info)
{
	json_t *value, *inner;
	const char *key, *inner_key;

	json_object_foreach(info, key, value)
	{
		if (!json_is_object(value) || strcmp(key, "memory") == 0)
			continue;
		printf(LABEL, key);
		json_object_foreach(value, inner_key, inner) print_value(inner_key, inner);
		putchar('\n');
	}
}

static void print_info(json_t *info)
{
	json_t *memory = json_object_get(info, "memory");
	char uptime[32], size[32];

	format_duration(uptime, sizeof(uptime),
			json_number_value(json_object_get(info, "uptime_seconds")));
	format_size(size, sizeof(size),
		    (uint64_t)json_integer_value(json_object_get(memory, "size")));
	printf(LABEL "%s\n", "name", text_of(info, "name"));
	printf(LABEL "%lld\n", "pid", json_integer_value(json_object_get(info, "pid")));
	printf(LABEL "%s\n", "state", text_of(info, "state"));
	printf(LABEL "%s\n", "uptime", uptime);
	printf(LABEL "%s\n", "kernel", text_of(info, "kernel"));
	printf(LABEL "%s%s\n", "memory", size,
	       json_is_true(json_object_get(memory, "huge_pages")) ? ", huge pages" : "");
	printf(LABEL "%lld\n", "cpus", json_integer_value(json_object_get(info, "cpus")));
	printf(LABEL "%s\n", "jail", json_is_true(json_object_get(info, "jail")) ? "on" : "off");
	print_others(info);
	print_devices(json_object_get(info, "devices"));
	print_vcpus(json_object_get(info, "vcpus"));
}

static int info_run(int argc, char **argv)
{
	struct client_options options;
	struct error err;
	json_t *info = NULL;
	int status = client_parse(argc, argv,
				  "Show a VM's state, devices and exit counters, while it runs.",
				  true, &options, &err);

	if (status >= 0)
		return status;
	if (client_ask(options.name, "info", NULL, &info, &err) < 0) {
		command_error("info: %s", err.text);
		return COMMAND_FAILURE;
	}
	if (options.json)
		client_print_json(info);
	else
		print_info(info);
	json_decref(info);
	return COMMAND_SUCCESS;
}

static const struct command info_command = {
	.name = "info",
	.arguments = "NAME [--json]",
	.summary = "Show a VM's state, devices and exit counters",
	.run = info_run,
};
COMMAND(info_command);
