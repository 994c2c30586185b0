// SPDX-License-Identifier: BSD-2-Clause
/* `symvm version` */
#include <stdio.h>

#include "cli/command.h"
#include "util/version.h"

static int version_run(int argc, char **argv)
{
	const struct argp argp = {.doc = "Print symvm's version."};
	struct error err;
	int status = command_parse_or_report(&argp, argc, argv, NULL, &err);

	if (status >= 0)
		return status;
	printf("symvm %s\n", SYMVM_VERSION);
	return COMMAND_SUCCESS;
}

static const struct command version_command = {
	.name = "version",
	.arguments = "",
	.summary = "Print the version",
	.run = version_run,
};
COMMAND(version_command);
