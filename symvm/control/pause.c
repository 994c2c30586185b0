// SPDX-License-Identifier: BSD-2-Clause
/* The control command `pause`. */
#include <errno.h>

#include "control/control.h"
#include "machine/vm.h"

static int handle_pause(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	int status = control_arguments_none(arguments, err);

	if (status < 0)
		return status;
	if (vm_panic_is_kept(vm))
		return error_set(err, -EALREADY, "the VM is stopped since its guest panicked");
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
