// SPDX-License-Identifier: BSD-2-Clause
/* Finds the subcommand and runs it; its result is the exit status. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "util/descriptor.h"

int main(int argc, char **argv)
{
	const struct command *command;
	const char *name;
	int status;

	if (descriptor_fill_standard() < 0)
		return COMMAND_FAILURE;
	/* A write beyond RLIMIT_FSIZE is an error of that write (EFBIG), wherever it happens. */
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2) {
		command_error("no command given (see 'symvm help')");
		return COMMAND_USAGE;
	}
	name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	command = command_find(name);
	if (!command) {
		command_error("unknown command '%s' (see 'symvm help')", name);
		return COMMAND_USAGE;
	}
	/*
	 * Whether the terminal shows UTF-8 (util/text.h). Nothing else depends on the locale. A
	 * VM's log that no terminal shows is in ASCII: glibc opens five files for a locale, and the
	 * guest would wait for that.
	 */
	if (!command->run_unparsed || isatty(STDERR_FILENO))
		setlocale(LC_CTYPE, "");
	status = command_run(command, argc - 1, argv + 1);
	if (fflush(stdout) != 0 && status == COMMAND_SUCCESS) {
		command_error("%s: standard output could not be written", name);
		status = COMMAND_FAILURE;
	}
	return status;
}
