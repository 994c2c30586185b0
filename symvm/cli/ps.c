// SPDX-License-Identifier: BSD-2-Clause
/* `symvm ps NAME [--json]` */
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/output.h"

static json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* The columns that are not simply a key of @task. */
static void add_shown(json_t *task)
{
	bool kernel = json_is_true(json_object_get(task, "kernel_thread"));
	double ns = (double)number_of(task, "utime_ns") + (double)number_of(task, "stime_ns");

	json_object_set_new(task, "rss_kib", json_integer(number_of(task, "rss") / 1024));
	json_object_set_new(task, "time_ms", json_sprintf("%.0f", ns / 1e6));
	json_object_set_new(task, "command",
			    json_sprintf("%s%s%s", kernel ? "[" : "",
					 output_text(task, "comm", "?"), kernel ? "]" : ""));
}

static void print_ps(json_t *answer)
{
	static const struct describe_column columns[] = {
		{"PID", true, "pid", DESCRIBE_NUMBER},
		{"PPID", true, "ppid", DESCRIBE_NUMBER},
		{"UID", true, "uid", DESCRIBE_NUMBER},
		{"S", false, "state", DESCRIBE_COUNT},
		{"CPU", true, "cpu", DESCRIBE_NUMBER},
		{"RSS/KiB", true, "rss_kib", DESCRIBE_NUMBER},
		{"TIME/ms", true, "time_ms", DESCRIBE_COUNT},
		{"COMMAND", false, "command", DESCRIBE_COUNT},
	};
	json_t *tasks = json_object_get(answer, "tasks"), *task;
	size_t i;

	json_array_foreach(tasks, i, task)
		add_shown(task);
	describe_table(tasks, columns, sizeof(columns) / sizeof(columns[0]));
}

static const struct command ps_command = {
	.name = "ps",
	.summary = "List the processes of a running guest, without an agent",
	.arguments = {.about = "List the processes of a running guest.",
		      .words = client_words,
		      .options = client_json_options},
	.run = client_run,
	.print = print_ps,
};
COMMAND(ps_command);
