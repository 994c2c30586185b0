// SPDX-License-Identifier: BSD-2-Clause
/* `symvm help [COMMAND]` */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

REGISTRY_DECLARE(symvm_commands, struct command);

static int compare_names(const void *left, const void *right)
{
	const struct command *const *a = left, *const *b = right;

	return strcmp((*a)->name, (*b)->name);
}

static int list_commands(void)
{
	size_t count = (size_t)(__stop_symvm_commands - __start_symvm_commands);
	const struct command **sorted = calloc(count, sizeof(*sorted));

	if (!sorted) {
		command_error("help: out of memory");
		return COMMAND_FAILURE;
	}
	memcpy(sorted, __start_symvm_commands, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_names);
	printf("Usage: symvm COMMAND [ARGUMENTS]\n\n");
	for (size_t i = 0; i < count; i++)
		printf("  %-10s %s\n", sorted[i]->name, sorted[i]->summary);
	printf("\n'symvm COMMAND --help' shows a command's options; the manual is symvm(1).\n");
	free(sorted);
	return COMMAND_SUCCESS;
}

static int help_run(int argc, char **argv)
{
	const struct command *command;
	char *help_argv[3];

	if (argc < 2 || strcmp(argv[1], "--help") == 0)
		return list_commands();
	command = command_find(argv[1]);
	if (!command || argc > 2) {
		command_error("help: no command '%s'", argv[argc > 2 ? 2 : 1]);
		return COMMAND_USAGE;
	}
	if (strcmp(argv[1], "help") == 0)
		return list_commands();
	help_argv[0] = argv[1];
	help_argv[1] = (char[]){"--help"};
	help_argv[2] = NULL;
	return command->run(2, help_argv);
}

static const struct command help_command = {
	.name = "help",
	.arguments = "[COMMAND]",
	.summary = "List the commands, or show one command's options",
	.run = help_run,
};
COMMAND(help_command);
