// SPDX-License-Identifier: BSD-2-Clause
/* The control command `dump`: a vmcore of the VM into a file that the client passes. */
#include <errno.h>

#include "control/control.h"
#include "control/vm_dump.h"
#include "machine/vm.h"

#define HOLD_MS	      5000u
#define DUMP_LIMIT_MS 3600000u

static bool is_over(void *opaque)
{
	return wait_limit_over(opaque);
}

static int hold(struct vm *vm, struct error *err)
{
	int status = vm_hold(vm, HOLD_MS);

	if (status == -ETIMEDOUT)
		return error_set(err, status,
				 "the VM cannot be stopped: a vCPU waits for a device");
	if (status == -EAGAIN)
		return error_set(err, -EBUSY, "the VM is being reset");
	return status < 0 ? error_set_errno(err, status, "the VM cannot be stopped") : 0;
}

static int handle_dump(struct vm *vm, json_t *arguments, int fd, struct wait_limit *limit,
		       json_t **result, struct error *err)
{
	struct vmcore core = {.fd = fd, .cut = is_over, .opaque = limit};
	int status = control_arguments_none(arguments, err);

	if (status == 0)
		status = hold(vm, err);
	if (status < 0)
		return status;
	status = vm_dump(vm, &core, err);
	vm_unhold(vm);
	if (status < 0)
		return status;
	*result = json_pack("{s:I, s:I, s:b, s:i}", "size", (json_int_t)core.size, "written",
			    (json_int_t)core.written, "vmcoreinfo", core.has_vmcoreinfo, "vcpus",
			    (int)vm->vcpu_count);
	return 0;
}

static const struct control_command dump_command = {
	.name = "dump",
	.help = "write a vmcore to the regular file that is passed (SCM_RIGHTS); vCPUs stop "
		"meanwhile",
	/* If its client leaves, nobody needs the file, and the guest waits. */
	.is_query = true,
	.limit_ms = DUMP_LIMIT_MS,
	.handle_file = handle_dump,
};
CONTROL_COMMAND(dump_command);
