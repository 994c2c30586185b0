// SPDX-License-Identifier: BSD-2-Clause
/* `symvm resume NAME` */
#include "cli/client.h"

static const struct command resume_command = {
	.name = "resume",
	.summary = "Resume a paused VM",
	.arguments = {.about = "Resume a paused VM.", .words = client_words},
	.run = client_run,
	.silent = true,
};
COMMAND(resume_command);
