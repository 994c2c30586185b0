// SPDX-License-Identifier: BSD-2-Clause
/* The control command `resume`. */
#include <errno.h>

#include "control/control.h"
#include "machine/vm.h"

static int handle_resume(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	int status = control_arguments_none(arguments, err);

	if (status < 0)
		return status;
	if (vm_panic_is_kept(vm))
		return error_set(
			err, -EPERM,
			"the guest's kernel panicked: the VM is kept for questions alone, and "
			"'symvm stop' ends it");
	status = vm_resume(vm);
	if (status == -EALREADY)
		return error_set(err, status, "the VM is not paused");
	return status < 0 ? error_set_errno(err, status, "the VM cannot be resumed") : 0;
}

static const struct control_command resume_command = {
	.name = "resume",
	.help = "resume a paused VM",
	.may_wait = true,
	.handle = handle_resume,
};
CONTROL_COMMAND(resume_command);
