// SPDX-License-Identifier: BSD-2-Clause
/* `symvm ps NAME [--json]` */
#include "cli/client.h"
#include "cli/output.h"

static json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_tasks(json_t *tasks)
{
	static const struct output_column columns[] = {
		{"PID", true}, {"PPID", true},	  {"UID", true},     {"S", false},
		{"CPU", true}, {"RSS/KiB", true}, {"TIME/ms", true}, {"COMMAND", false},
	};
	struct output_table *table = output_table_create(columns,
							 sizeof(columns) / sizeof(columns[0]));
	json_t *task;
	size_t i;

	json_array_foreach(tasks, i, task) {
		bool kernel = json_is_true(json_object_get(task, "kernel_thread"));
		double ns = (double)number_of(task, "utime_ns") +
			    (double)number_of(task, "stime_ns");

		output_table_cell(table, "%lld", number_of(task, "pid"));
		output_table_cell(table, "%lld", number_of(task, "ppid"));
		output_table_cell(table, "%lld", number_of(task, "uid"));
		output_table_cell(table, "%s", output_text(task, "state", "?"));
		output_table_cell(table, "%lld", number_of(task, "cpu"));
		output_table_cell(table, "%lld", number_of(task, "rss") / 1024);
		output_table_cell(table, "%.0f", ns / 1e6);
		output_table_cell(table, "%s%s%s", kernel ? "[" : "",
				  output_text(task, "comm", "?"), kernel ? "]" : "");
	}
	output_table_print(table);
}

static void print_ps(json_t *answer)
{
	print_tasks(json_object_get(answer, "tasks"));
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
