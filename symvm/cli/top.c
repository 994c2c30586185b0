// SPDX-License-Identifier: BSD-2-Clause
/* `symvm top NAME [--batch] [--json] [--interval S] [--count N] [--tasks N]` */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/output.h"
#include "cli/top_model.h"
#include "cli/top_rows.h"
#include "cli/top_sample.h"
#include "cli/top_screen.h"
#include "util/clock.h"

#define INTERVAL_DEFAULT 2
#define TASKS_DEFAULT	 20

static const struct argument top_options[] = {
	{.name = "interval",
	 .letter = 'i',
	 .type = ARGUMENT_DURATION,
	 .metavar = "SECONDS",
	 .minimum = 1,
	 .maximum = 3600,
	 .key = "interval",
	 .help = "Ask again after so many seconds (default: 2)"},
	{.name = "count",
	 .letter = 'n',
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .minimum = 1,
	 .maximum = 1000000,
	 .key = "count",
	 .help = "End after N views (default: 1; on a terminal without end)"},
	{.name = "tasks",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .minimum = 1,
	 .maximum = TOP_TASKS_MAX,
	 .key = "tasks",
	 .help = "Show at most N processes (default: 20; on a terminal as many as fit)"},
	{.name = "memory",
	 .letter = 'm',
	 .type = ARGUMENT_FLAG,
	 .key = "memory",
	 .help = "Sort processes by memory, not by CPU time"},
	{.name = "batch",
	 .letter = 'b',
	 .type = ARGUMENT_FLAG,
	 .key = "batch",
	 .help = "Print rows, also on a terminal"},
	CLIENT_JSON,
	{0},
};

struct top {
	const struct command_input *input;
	struct top_screen *screen; /* NULL: rows or JSON */
	enum top_order order;
	unsigned interval_ms;
	size_t tasks;
	json_int_t left; /* views; negative: without end */
};

static json_int_t option_of(const struct command_input *input, const char *key,
			    json_int_t otherwise)
{
	json_t *value = json_object_get(input->request, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

static void show(struct top *top, json_t *before, json_t *after)
{
	size_t tasks = top->screen ? top_screen_height(top->screen) : top->tasks, i;
	json_t *view = top_view(before, after, top->order, tasks), *rows, *row;

	if (top->input->json) {
		output_json(view);
	} else {
		rows = top_rows(view);
		if (top->screen)
			top_screen_draw(top->screen, rows);
		else
			json_array_foreach(rows, i, row)
				output_line("%s", json_string_value(row));
		json_decref(rows);
	}
	json_decref(view);
	fflush(stdout);
}

/* Waits for the next view, and obeys keys meanwhile. Returns whether the user wants to end. */
static bool wait_and_obey(struct top *top, json_t *before, json_t *after)
{
	uint64_t end = clock_now_ns() + top->interval_ms * NS_PER_MS;
	const struct timespec pause = {.tv_sec = top->interval_ms / 1000};

	if (!top->screen) {
		nanosleep(&pause, NULL);
		return false;
	}
	for (;;) {
		uint64_t now = clock_now_ns();
		int key;

		if (now >= end)
			return false;
		key = top_screen_key(top->screen, (unsigned)((end - now) / NS_PER_MS) + 1);
		if (key == 'q')
			return true;
		if (key == 'c')
			top->order = TOP_BY_CPU;
		else if (key == 'm')
			top->order = TOP_BY_MEMORY;
		if (key)
			show(top, before, after);
		/* The terminal is gone: getch() does not wait. */
		if (!key && clock_now_ns() < end && !isatty(STDIN_FILENO))
			return true;
	}
}

/* Shows views until enough were shown, the user ends it (0), or the VM does not answer (-errno). */
static int watch(struct top *top, json_t **before, json_t **after, struct error *err)
{
	int status = top_sample_take(top->input->vm, after, err);

	if (status == 0 && top->screen)
		show(top, NULL, *after);
	while (status == 0 && top->left) {
		if (wait_and_obey(top, *before, *after))
			break;
		json_decref(*before);
		*before = *after;
		*after = NULL;
		status = top_sample_take(top->input->vm, after, err);
		if (status < 0)
			break;
		show(top, *before, *after);
		if (top->left > 0)
			top->left--;
	}
	return status;
}

static int top_run(const struct command *command, struct command_input *input)
{
	bool batch = input->json || json_is_true(json_object_get(input->request, "batch")) ||
		     !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO);
	struct top top = {
		.input = input,
		.order = json_is_true(json_object_get(input->request, "memory")) ? TOP_BY_MEMORY
										 : TOP_BY_CPU,
		.interval_ms = (unsigned)option_of(input, "interval", INTERVAL_DEFAULT) * 1000,
		.tasks = (size_t)option_of(input, "tasks", TASKS_DEFAULT),
		.left = option_of(input, "count", batch ? 1 : -1),
	};
	json_t *before = NULL, *after = NULL;
	struct error err;
	int status = 0;

	if (!batch) {
		top.screen = top_screen_open(&err);
		status = top.screen ? 0 : -ENOTSUP;
	}
	if (status == 0)
		status = watch(&top, &before, &after, &err);
	top_screen_close(top.screen);
	json_decref(before);
	json_decref(after);
	if (status < 0)
		command_error("top: %s", err.text);
	return status == 0 ? COMMAND_SUCCESS : COMMAND_FAILURE;
}

static const struct command top_command = {
	.name = "top",
	.summary = "Show what a VM and its guest do, again and again",
	.arguments = {.about = "Show what a VM and its guest do: exits, processes, memory, swap "
			       "and I/O of the last seconds, and what the VM costs the host. On a "
			       "terminal, q ends it, c sorts by CPU time and m by memory.",
		      .words = client_words,
		      .options = top_options},
	.run = top_run,
};
COMMAND(top_command);
