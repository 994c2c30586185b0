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

static int help_run(const struct command *command, struct command_input *input)
{
	const char *name = json_string_value(json_object_get(input->request, "command"));
	char help[] = "--help";

	if (!name)
		return list_commands();
	command = command_find(name);
	if (!command) {
		command_error("help: no command '%s'", name);
		return COMMAND_USAGE;
	}
	return command_run(command, 2, (char *[]){(char *)command->name, help, NULL});
}

static const struct argument help_words[] = {
	{.name = "COMMAND",
	 .type = ARGUMENT_TEXT,
	 .key = "command",
	 .optional = true,
	 .help = "Show this command's arguments"},
	{0},
};

static const struct command help_command = {
	.name = "help",
	.summary = "List the commands, or show one command's options",
	.arguments = {.about = "List the commands, or show one command's options.",
		      .words = help_words},
	.run = help_run,
};
COMMAND(help_command);
