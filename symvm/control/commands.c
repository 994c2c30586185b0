// SPDX-License-Identifier: BSD-2-Clause
/* The table of control commands, and the command `commands`, which lists it. */
#include "control/control.h"

#include <string.h>

REGISTRY_DECLARE(symvm_control_commands, struct control_command);

const struct control_command *control_command_find(const char *name)
{
	const struct control_command *const *it;

	REGISTRY_FOR_EACH(symvm_control_commands, it)
		if (strcmp((*it)->name, name) == 0)
			return *it;
	return NULL;
}

static int handle_commands(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	const struct control_command *const *it;
	int status = control_arguments_none(arguments, err);

	if (status < 0)
		return status;
	*result = json_object();
	REGISTRY_FOR_EACH(symvm_control_commands, it)
		json_object_set_new(*result, (*it)->name, json_string((*it)->help));
	return 0;
}

static const struct control_command commands_command = {
	.name = "commands",
	.help = "the commands that this VM takes",
	.immediate = true,
	.handle = handle_commands,
};
CONTROL_COMMAND(commands_command);
