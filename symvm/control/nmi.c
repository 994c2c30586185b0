// SPDX-License-Identifier: BSD-2-Clause
/*
 * The control command `nmi`: the NMI button of a server. What a guest does at an NMI that no device
 * explains is the guest's setting; Linux can report it, or panic.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "control/control.h"
#include "machine/vcpu.h"
#include "machine/vm.h"

static void inject_nmi(struct vcpu *vcpu, void *opaque)
{
	int *status = opaque;

	*status = ioctl(vcpu->fd, KVM_NMI) < 0 ? -errno : 0;
}

static int handle_nmi(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		      struct error *err)
{
	static const char *const known[] = {"vcpu", NULL};
	json_int_t vcpu = 0;
	int injected = 0, status = control_arguments_known(arguments, known, err);

	if (status == 0)
		status = control_argument_integer(arguments, "vcpu", 0, vm->vcpu_count - 1, &vcpu,
						  err);
	if (status == 0)
		status = vm_check_runs(vm, err);
	if (status < 0)
		return status;
	status = vcpu_run_on(vm->vcpus[vcpu], inject_nmi, &injected,
			     (unsigned)wait_limit_left_ms(limit));
	if (status == -ETIMEDOUT)
		return error_set(err, status, "vCPU %d waits for a device and took no NMI in time",
				 (int)vcpu);
	if (status == 0)
		status = injected;
	return status < 0 ? error_set_errno(err, status, "vCPU %d takes no NMI", (int)vcpu) : 0;
}

static const struct control_command nmi_command = {
	.name = "nmi",
	.help = "inject an NMI; vcpu (integer): into this vCPU (default: 0)",
	.handle_until = handle_nmi,
};
CONTROL_COMMAND(nmi_command);
