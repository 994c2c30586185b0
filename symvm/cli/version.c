// SPDX-License-Identifier: BSD-2-Clause
/* `symvm version` */
#include <stdio.h>

#include "cli/command.h"
#include "util/version.h"

static int version_run(const struct command *command, struct command_input *input)
{
	printf("symvm %s\n", SYMVM_VERSION);
	return COMMAND_SUCCESS;
}

static const struct command version_command = {
	.name = "version",
	.summary = "Print the version",
	.arguments = {.about = "Print symvm's version."},
	.run = version_run,
};
COMMAND(version_command);
