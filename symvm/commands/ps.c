// SPDX-License-Identifier: BSD-2-Clause
/* `symvm ps NAME [--json]` */
#include <stdio.h>

#include "commands/client.h"

static json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "?";
}

static void print_tasks(json_t *tasks)
{
	json_t *task;
	size_t i;

	printf("%7s %7s %6s %s %3s %9s %9s %s\n", "PID", "PPID", "UID", "S", "CPU", "RSS/KiB",
	       "TIME/ms", "COMMAND");
	json_array_foreach(tasks, i, task)
	{
		bool kernel = json_is_true(json_object_get(task, "kernel_thread"));

		printf("%7lld %7lld %6lld %s %3lld %9lld %9lld %s%s%s\n",
		       (long long)number_of(task, "pid"), (long long)number_of(task, "ppid"),
		       (long long)number_of(task, "uid"), text_of(task, "state"),
		       (long long)number_of(task, "cpu"), (long long)number_of(task, "rss") / 1024,
		       (long long)(number_of(task, "utime_ns") + number_of(task, "stime_ns")) /
			       1000000,
		       kernel ? "[" : "", text_of(task, "comm"), kernel ? "]" : "");
	}
}

static int ps_run(int argc, char **argv)
{
	struct client_options options;
	struct error err;
	json_t *result = NULL;
	int status = client_parse(argc, argv, "Lists the processes of a running guest.", true,
				  &options, &err);

	if (status >= 0)
		return status;
	if (client_ask(options.name, "ps", NULL, &result, &err) < 0) {
		command_error("ps: %s", err.text);
		return COMMAND_FAILURE;
	}
	if (options.json)
		client_print_json(result);
	else
		print_tasks(json_object_get(result, "tasks"));
	json_decref(result);
	return COMMAND_SUCCESS;
}

static const struct command ps_command = {
	.name = "ps",
	.arguments = "NAME [--json]",
	.summary = "List the processes of a running guest, without an agent",
	.run = ps_run,
};
COMMAND(ps_command);
