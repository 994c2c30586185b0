// SPDX-License-Identifier: BSD-2-Clause
/* `symvm exits NAME [--reason LIST] [--sample PERCENT] [--seconds N] [OPTION]...` */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/client.h"
#include "cli/exits_live.h"
#include "cli/exits_stack.h"
#include "cli/flame_graph.h"
#include "cli/output.h"

#define SECONDS_DEFAULT 10
#define SECONDS_MAX	600

static const struct argument exits_options[] = {
	{.name = "reason",
	 .type = ARGUMENT_TEXT,
	 .metavar = "LIST",
	 .key = "reason",
	 .help = "io, mmio, doorbell, hlt, interrupt, with commas, or all (default: "
		 "io,mmio,doorbell)"},
	{.name = "sample",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "PERCENT",
	 .minimum = 1,
	 .maximum = 100,
	 .key = "sample",
	 .help = "Ask the guest at this share of the exits (default: 100)"},
	{.name = "seconds",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .minimum = 1,
	 .maximum = SECONDS_MAX,
	 .key = "seconds",
	 .help = "Watch for N seconds (default: 10)"},
	{.name = "stack",
	 .type = ARGUMENT_FLAG,
	 .key = "stack",
	 .help = "Ask for the kernel stack, too"},
	{.name = "folded",
	 .type = ARGUMENT_FLAG,
	 .key = "folded",
	 .help = "Print folded stacks, for flame graphs (implies --stack)"},
	{.name = "svg",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 .key = "svg",
	 .help = "Write a flame graph to FILE, for a browser (implies --stack)"},
	{.name = "live",
	 .letter = 'l',
	 .type = ARGUMENT_FLAG,
	 .key = "live",
	 .help = "Show the last N seconds (default: 2) again and again, on the whole terminal"},
	{.name = "end",
	 .type = ARGUMENT_FLAG,
	 .key = "end",
	 .help = "End the watches under way; their clients show what was counted"},
	CLIENT_JSON,
	{0},
};

static long long number_of(json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

/* The exits at which the VMM asked the guest, or tried to. */
static long long asked_of(json_t *totals)
{
	unsigned long long sum = 0;
	const char *reason;
	json_t *one;

	json_object_foreach(totals, reason, one)
		sum += (unsigned long long)number_of(one, "asked");
	return (long long)sum;
}

static double percent_of(long long part, long long whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void add_row(struct output_table *table, json_t *row, long long asked)
{
	json_t *task = json_object_get(row, "task"), *place = exits_place(row);
	const char *at = json_string_value(place);
	bool known = json_is_object(task);

	output_table_cell(table, "%lld", number_of(row, "count"));
	output_table_cell(table, "%.1f", percent_of(number_of(row, "count"), asked));
	output_table_cell(table, "%s", output_text(row, "reason", "?"));
	output_table_cell(table, "%s", at && *at ? at : "-");
	if (known) {
		output_table_cell(table, "%lld", number_of(task, "pid"));
		output_table_cell(table, "0x%llx", (unsigned long long)number_of(task, "user_rip"));
	} else {
		output_table_cell(table, "-");
		output_table_cell(table, "-");
	}
	output_table_cell(table, "%s", known ? output_text(task, "cgroup", "-") : "-");
	output_table_cell(table, "%s", known ? output_text(task, "comm", "?") : "(not attributed)");
	json_decref(place);
}

static void print_table(json_t *answer)
{
	static const struct output_column columns[] = {
		{"COUNT", true}, {"%", true},	    {"REASON", false}, {"AT", false},
		{"PID", true},	 {"USER IP", true}, {"CGROUP", false}, {"TASK", false},
	};
	struct output_table *table = output_table_create(columns,
							 sizeof(columns) / sizeof(columns[0]));
	long long asked = asked_of(json_object_get(answer, "totals"));
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "rows"), i, row)
		add_row(table, row, asked);
	output_table_print(table);
}

/* With stacks, a row has lines of its own. */
static void print_stacks(json_t *answer)
{
	long long asked = asked_of(json_object_get(answer, "totals"));
	json_t *row, *frame;
	size_t i, j;

	json_array_foreach(json_object_get(answer, "rows"), i, row) {
		json_t *task = json_object_get(row, "task"), *place = exits_place(row);
		const char *comm = output_text(task, "comm", "?"), *mark = output_mark(comm);
		const char *at = json_string_value(place);

		if (json_is_object(task))
			output_line("%lld (%.1f %%) %s %s by %s%s%s, pid %lld, user IP 0x%llx, "
				    "cgroup %s",
				    number_of(row, "count"),
				    percent_of(number_of(row, "count"), asked),
				    output_text(row, "reason", "?"), at ? at : "?", mark, comm,
				    mark, number_of(task, "pid"),
				    (unsigned long long)number_of(task, "user_rip"),
				    output_text(task, "cgroup", "?"));
		else
			output_line("%lld (%.1f %%) %s %s, not attributed", number_of(row, "count"),
				    percent_of(number_of(row, "count"), asked),
				    output_text(row, "reason", "?"), at ? at : "?");
		json_array_foreach(json_object_get(row, "stack"), j, frame)
			output_line("        %s",
				    json_is_string(frame) ? json_string_value(frame) : "?");
		json_decref(place);
	}
}

static void print_totals(json_t *answer)
{
	json_t *totals = json_object_get(answer, "totals"), *one;
	long long other = number_of(answer, "other");
	const char *reason;

	json_object_foreach(totals, reason, one) {
		long long asked = number_of(one, "asked");
		long long failed = number_of(one, "unattributed");

		output_line("%s: %lld exits, asked about %lld, of these not attributed: %lld "
			    "(%.1f %%)",
			    reason, number_of(one, "exits"), asked, failed,
			    percent_of(failed, asked));
	}
	if (other)
		output_line("others: %lld exits, whose rows did not fit", other);
}

static void print_folded(json_t *answer)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(answer, "rows"), i, row) {
		json_t *frames = exits_frames(row);
		char *text = exits_fold(frames);

		output_line("%s %lld", text ? text : "?", number_of(row, "count"));
		free(text);
		json_decref(frames);
	}
}

static int write_graph(const struct command_input *input, json_t *answer, const char *path,
		       struct error *err)
{
	struct flame_graph *graph = flame_graph_create();
	json_t *row, *frames, *frame;
	char title[256];
	size_t i, j;
	int status;

	if (!graph)
		return error_set(err, -ENOMEM, "out of memory");
	json_array_foreach(json_object_get(answer, "rows"), i, row) {
		long long count = number_of(row, "count");

		frames = exits_frames(row);
		flame_graph_begin(graph);
		json_array_foreach(frames, j, frame)
			flame_graph_frame(graph,
					  json_is_string(frame) ? json_string_value(frame) : "?");
		flame_graph_end(graph, count > 0 ? (uint64_t)count : 0);
		json_decref(frames);
	}
	snprintf(title, sizeof(title), "Exits of %s in %.0f seconds, by the guest's tasks",
		 input->vm, json_number_value(json_object_get(answer, "seconds")));
	status = flame_graph_write(graph, path, title, err);
	flame_graph_destroy(graph);
	return status;
}

static void print_answer(const struct command_input *input, json_t *answer)
{
	json_t *request = input->request;

	if (input->json) {
		output_json(answer);
	} else if (json_is_true(json_object_get(request, "folded"))) {
		print_folded(answer);
	} else if (json_is_true(json_object_get(request, "stack"))) {
		print_stacks(answer);
		print_totals(answer);
	} else {
		/* With a graph, rows are counted by stack: too many for a table. */
		if (!json_object_get(request, "svg"))
			print_table(answer);
		print_totals(answer);
	}
}

/* What the VM is asked: without what concerns the output alone. */
static json_t *make_request(json_t *input)
{
	json_t *request = json_copy(input);

	if (json_object_get(request, "svg") || json_is_true(json_object_get(request, "folded")))
		json_object_set_new(request, "stack", json_true());
	json_object_del(request, "folded");
	json_object_del(request, "svg");
	return request;
}

static int ask(const struct command_input *input, json_t **answer, struct error *err)
{
	json_int_t seconds = json_integer_value(json_object_get(input->request, "seconds"));
	unsigned timeout = (unsigned)(seconds ? seconds : SECONDS_DEFAULT) * 1000;
	struct client client;
	int status = client_open(&client, input->vm, err);

	if (status < 0)
		return status;
	status = client_call(&client, "exits", make_request(input->request),
			     timeout + CLIENT_TIMEOUT_MS, answer, err);
	client_close(&client);
	return status;
}

/* A live table has no stacks, and no other form. */
static int run_live(const struct command_input *input, struct error *err)
{
	static const char *const others[] = {"stack", "folded", "svg", "end"};
	json_t *request = json_copy(input->request);
	int status = 0;

	json_object_del(request, "live");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (input->json || json_object_get(input->request, others[i]))
			status = error_set(err, -EINVAL,
					   "--live goes with --reason, --sample and "
					   "--seconds only");
	if (status == 0)
		status = exits_live(input->vm, request, err);
	json_decref(request);
	return status;
}

static int exits_run(const struct command *command, struct command_input *input)
{
	const char *svg = json_string_value(json_object_get(input->request, "svg"));
	json_t *answer = NULL;
	struct error err;
	bool live = json_is_true(json_object_get(input->request, "live"));
	int status = live ? run_live(input, &err) : ask(input, &answer, &err);

	if (status == 0 && !live && !json_is_true(json_object_get(input->request, "end"))) {
		print_answer(input, answer);
		if (svg)
			status = write_graph(input, answer, svg, &err);
	}
	json_decref(answer);
	if (status < 0)
		command_error("exits: %s", err.text);
	return status == 0 ? COMMAND_SUCCESS : COMMAND_FAILURE;
}

static const struct command exits_command = {
	.name = "exits",
	.summary = "Show which tasks of the guest cause its exits",
	.arguments = {.about = "Count the exits of a running guest for some seconds, by the task "
			       "that caused each: the VMM asks the guest while it handles them.",
		      .words = client_words,
		      .options = exits_options},
	.run = exits_run,
};
COMMAND(exits_command);
