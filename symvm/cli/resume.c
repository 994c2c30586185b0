// SPDX-License-Identifier: BSD-2-Clause
/* `symvm resume NAME` */
#include "cli/client.h"

static int resume_run(int argc, char **argv)
{
	struct client_options options;
	struct error err;
	int status = client_parse(argc, argv, "Let a paused VM go on.", false, &options, &err);

	if (status >= 0)
		return status;
	if (client_ask(options.name, "resume", NULL, NULL, &err) == 0)
		return COMMAND_SUCCESS;
	command_error("resume: %s", err.text);
	return COMMAND_FAILURE;
}

static const struct command resume_command = {
	.name = "resume",
	.arguments = "NAME",
	.summary = "Let a paused VM go on",
	.run = resume_run,
};
COMMAND(resume_command);
