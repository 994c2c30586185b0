// SPDX-License-Identifier: BSD-2-Clause
/* Control commands of every VM: its life (pause, resume, stop) and the list of commands. */
#include <errno.h>

#include "control/control.h"
#include "machine/vm.h"

#define STOP_SECONDS	 60 /* that the button is pressed by default */
#define STOP_SECONDS_MAX 86400

REGISTRY_DECLARE(symvm_control_commands, struct control_command);

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
	if (status == -ETIMEDOUT)
		return error_set(err, status,
				 "the VM cannot be paused: a vCPU waits for a device; it runs on");
	if (status == -ECANCELED)
		return error_set(err, status, "the VM was resumed meanwhile");
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
	.may_wait = true,
	.handle = handle_resume,
};
CONTROL_COMMAND(resume_command);

static int handle_stop(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	static const char *const known[] = {"force", "timeout", NULL};
	json_int_t seconds = STOP_SECONDS;
	bool force = false;
	int status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_bool(arguments, "force", &force, err);
	if (status == 0)
		status = control_argument_integer(arguments, "timeout", 0, STOP_SECONDS_MAX,
						  &seconds, err);
	if (status < 0)
		return status;
	if (force) {
		vm_end(vm, VM_END_STOPPED);
		return 0;
	}
	status = vm_power_off(vm, (unsigned)seconds);
	if (status == -EOPNOTSUPP)
		return error_set(err, status, "the VM has no power button");
	return status < 0 ? error_set_errno(err, status, "the VM cannot be stopped") : 0;
}

static const struct control_command stop_command = {
	.name = "stop",
	.help = "press the ACPI power button, again and again for timeout (seconds); force (bool): "
		"end the VM at once",
	/* It must work also while all workers wait for a guest. */
	.immediate = true,
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
