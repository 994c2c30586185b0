// SPDX-License-Identifier: BSD-2-Clause
/* `symvm pause NAME` */
#include "cli/client.h"

static const struct command pause_command = {
	.name = "pause",
	.summary = "Pause a VM until 'symvm resume'",
	.arguments = {.about = "Stop a VM's vCPUs until 'symvm resume'.", .words = client_words},
	.run = client_run,
	.silent = true,
};
COMMAND(pause_command);
