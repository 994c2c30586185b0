// SPDX-License-Identifier: BSD-2-Clause
/* `symvm pause NAME` */
#include "cli/client.h"

static int pause_run(int argc, char **argv)
{
	struct client_options options;
	struct error err;
	int status = client_parse(argc, argv, "Stop a VM's vCPUs until 'symvm resume'.", false,
				  &options, &err);

	if (status >= 0)
		return status;
	if (client_ask(options.name, "pause", NULL, NULL, &err) == 0)
		return COMMAND_SUCCESS;
	command_error("pause: %s", err.text);
	return COMMAND_FAILURE;
}

static const struct command pause_command = {
	.name = "pause",
	.arguments = "NAME",
	.summary = "Stop a VM's vCPUs until it is resumed",
	.run = pause_run,
};
COMMAND(pause_command);
