// SPDX-License-Identifier: BSD-2-Clause
/* `symvm report NAME FILE [--seconds N]` */
#include <time.h>

#include "cli/client.h"
#include "cli/report_page.h"
#include "cli/top_model.h"
#include "cli/top_sample.h"

#define SECONDS_DEFAULT 5
#define TASKS		20

static const struct argument report_words[] = {
	CLIENT_NAME,
	{.name = "FILE",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 .key = "file",
	 .help = "where the page goes; the file is replaced"},
	{0},
};

static const struct argument report_options[] = {
	{.name = "seconds",
	 .type = ARGUMENT_DURATION,
	 .metavar = "N",
	 .minimum = 1,
	 .maximum = 3600,
	 .key = "seconds",
	 .help = "Rates are those of N seconds (default: 5)"},
	{0},
};

static int make_report(const char *vm, const char *path, time_t seconds, struct error *err)
{
	const struct timespec pause = {.tv_sec = seconds};
	json_t *before = NULL, *after = NULL, *view;
	int status = top_sample_take(vm, &before, err);

	if (status == 0) {
		nanosleep(&pause, NULL);
		status = top_sample_take(vm, &after, err);
	}
	if (status == 0) {
		view = top_view(before, after, TOP_BY_CPU, TASKS);
		status = report_page_write(view, path, err);
		json_decref(view);
	}
	json_decref(before);
	json_decref(after);
	return status;
}

static int report_run(const struct command *command, struct command_input *input)
{
	json_t *seconds = json_object_get(input->request, "seconds");
	struct error err;

	if (make_report(input->vm, json_string_value(json_object_get(input->request, "file")),
			seconds ? (time_t)json_integer_value(seconds) : SECONDS_DEFAULT, &err) == 0)
		return COMMAND_SUCCESS;
	command_error("report: %s", err.text);
	return COMMAND_FAILURE;
}

static const struct command report_command = {
	.name = "report",
	.summary = "Write a page for a browser: what a VM and its guest do",
	.arguments = {.about = "Write what a VM and its guest do as an HTML page with charts, "
			       "which needs no other file: exits, processes, memory and I/O.",
		      .words = report_words,
		      .options = report_options},
	.run = report_run,
};
COMMAND(report_command);
