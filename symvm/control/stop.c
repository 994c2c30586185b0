// SPDX-License-Identifier: BSD-2-Clause
/* The control command `stop`: asks the guest to power off, or ends the VM. */
#include <errno.h>

#include "control/control.h"
#include "machine/vm.h"

#define STOP_SECONDS	 60 /* how long the button is pressed by default */
#define STOP_SECONDS_MAX 86400

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
