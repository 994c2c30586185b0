// SPDX-License-Identifier: BSD-2-Clause
/* Control commands of every VM: its life (pause, resume, stop) and the list of commands. */
#include <errno.h>

#include "control/control.h"
#include "machine/vm.h"

SECTION_DECLARE(symvm_control_commands, struct control_command);

static int take_no_arguments(json_t *arguments, struct error *err)
{
	static const char *const known[] = {NULL};

	return control_arguments_known(arguments, known, err);
}

static int handle_pause(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	int status = take_no_arguments(arguments, err);

	if (status < 0)
		return status;
	status = vm_pause(vm);
	if (status == -EALREADY)
		return error_set(err, status, "the VM is paused already");
	return status < 0 ? error_set_errno(err, status, "the VM cannot be paused") : 0;
}

static const struct control_command pause_command = {
	.name = "pause",
	.help = "stop all vCPUs outside of the guest",
	.may_wait = true,
	.handle = handle_pause,
};
CONTROL_COMMAND(pause_command);

static int handle_resume(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	int status = take_no_arguments(arguments, err);

	if (status < 0)
		return status;
	status = vm_resume(vm);
	if (status == -EALREADY)
		return error_set(err, status, "the VM is not paused");
	return status < 0 ? error_set_errno(err, status, "the VM cannot be resumed") : 0;
}

static const struct control_command resume_command = {
	.name = "resume",
	.help = "let a paused VM go on",
	.handle = handle_resume,
};
CONTROL_COMMAND(resume_command);

static int handle_stop(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	static const char *const known[] = {"force", NULL};
	bool force = false;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_bool(arguments, "force", &force, err);
	if (status < 0)
		return status;
	if (force) {
		vm_end(vm, VM_END_STOPPED);
		return 0;
	}
	/* A paused guest would never see its button. */
	status = vm_resume(vm);
	if (status == 0 || status == -EALREADY)
		status = vm_power_button(vm);
	if (status == -EOPNOTSUPP)
		return error_set(err, status, "the VM has no power button");
	return status < 0 ? error_set_errno(err, status, "the VM cannot be stopped") : 0;
}

static const struct control_command stop_command = {
	.name = "stop",
	.help = "press the ACPI power button; force (bool): end the VM at once",
	/* On the main loop: it must work also while all workers wait for a guest. */
	.handle = handle_stop,
};
CONTROL_COMMAND(stop_command);

static int handle_commands(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	const struct control_command *const *it;
	int status = take_no_arguments(arguments, err);

	if (status < 0)
		return status;
	*result = json_object();
	SECTION_FOR_EACH(symvm_control_commands, it)
	json_object_set_new(*result, (*it)->name, json_string((*it)->help));
	return 0;
}

static const struct control_command commands_command = {
	.name = "commands",
	.help = "the commands that this VM takes",
	.handle = handle_commands,
};
CONTROL_COMMAND(commands_command);
