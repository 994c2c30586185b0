// SPDX-License-Identifier: BSD-2-Clause
/* `symvm metrics NAME` */
#include <errno.h>

#include "cli/client.h"
#include "cli/output.h"

static int metrics_run(int argc, char **argv)
{
	struct client_options options;
	struct error err;
	json_t *result = NULL;
	const char *text = NULL;
	int status = client_parse(argc, argv, "Print a VM's counters in Prometheus' text format.",
				  false, &options, &err);

	if (status >= 0)
		return status;
	status = client_ask(options.name, "metrics", NULL, &result, &err);
	if (status == 0 && !(text = json_string_value(json_object_get(result, "text"))))
		status = error_set(&err, -EPROTO, "the VM's answer holds no text");
	if (status == 0)
		output_metrics(text);
	else
		command_error("metrics: %s", err.text);
	json_decref(result);
	return status == 0 ? COMMAND_SUCCESS : COMMAND_FAILURE;
}

static const struct command metrics_command = {
	.name = "metrics",
	.arguments = "NAME",
	.summary = "Print a VM's counters in Prometheus' text format",
	.run = metrics_run,
};
COMMAND(metrics_command);
