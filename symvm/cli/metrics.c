// SPDX-License-Identifier: BSD-2-Clause
/* `symvm metrics NAME` */
#include <errno.h>

#include "cli/client.h"
#include "cli/output.h"

static int metrics_run(const struct command *command, struct command_input *input)
{
	struct error err;
	json_t *result = NULL;
	const char *text = NULL;
	int status = client_ask(input->vm, "metrics", NULL, &result, &err);

	if (status == 0 && !(text = json_string_value(json_object_get(result, "text"))))
		status = error_set(&err, -EPROTO, "the VM's answer has no text");
	if (status == 0)
		output_metrics(text);
	else
		command_error("metrics: %s", err.text);
	json_decref(result);
	return status == 0 ? COMMAND_SUCCESS : COMMAND_FAILURE;
}

static const struct command metrics_command = {
	.name = "metrics",
	.summary = "Print a VM's counters in Prometheus' text format",
	.arguments = {.about = "Print a VM's counters in Prometheus' text format.",
		      .words = client_words},
	.run = metrics_run,
};
COMMAND(metrics_command);
