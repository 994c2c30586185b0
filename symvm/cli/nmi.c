// SPDX-License-Identifier: BSD-2-Clause
/* `symvm nmi NAME [--vcpu N]` */
#include "cli/client.h"

static const struct argument nmi_options[] = {
	{.name = "vcpu",
	 .letter = 'c',
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .key = "vcpu",
	 .help = "Into this vCPU (default: 0)"},
	{0},
};

static const struct command nmi_command = {
	.name = "nmi",
	.summary = "Inject a non-maskable interrupt into a running guest",
	.arguments =
		{.about = "Inject a non-maskable interrupt into a running guest. A Linux guest "
			  "reports it, or panics if kernel.unknown_nmi_panic is 1.",
		 .words = client_words,
		 .options = nmi_options},
	.run = client_run,
	.silent = true,
};
COMMAND(nmi_command);
