// SPDX-License-Identifier: BSD-2-Clause
/* What all subcommands share: their table, their arguments, and the report of an error. */
#include "cli/command.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/text.h"

REGISTRY_DECLARE(symvm_commands, struct command);

const struct command *command_find(const char *name)
{
	const struct command *const *it;

	REGISTRY_FOR_EACH(symvm_commands, it)
		if (strcmp((*it)->name, name) == 0)
			return *it;
	return NULL;
}

void command_error(const char *format, ...)
{
	char text[sizeof(struct error) + 128], safe[4 * sizeof(text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The text may quote a user, a file, a VM or a guest; it stays one row. */
	text_escape(safe, sizeof(safe), text, strlen(text), SIZE_MAX, 0);
	fprintf(stderr, "symvm: %s\n", safe);
}

int command_run(const struct command *command, int argc, char **argv)
{
	struct command_input input = {0};
	struct error err;
	int status;

	if (command->run_unparsed)
		return command->run_unparsed(argc, argv);
	input.request = json_object();
	status = arguments_parse(&command->arguments, argc, argv, &input, input.request, &err);
	if (status == 0) {
		status = command->run(command, &input);
	} else if (status > 0) {
		status = COMMAND_SUCCESS;
	} else {
		command_error("%s", err.text);
		status = COMMAND_USAGE;
	}
	json_decref(input.request);
	return status;
}
