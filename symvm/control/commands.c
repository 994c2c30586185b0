// SPDX-License-Identifier: BSD-2-Clause
/* The control command `commands`: the list of all. */
#include "control/control.h"

REGISTRY_DECLARE(symvm_control_commands, struct control_command);

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
