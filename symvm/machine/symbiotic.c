// SPDX-License-Identifier: BSD-2-Clause
/*
 * libsymcall's callbacks. The engine knows vCPUs as `void *`; these functions convert them to their
 * types.
 */
#include "machine/symbiotic.h"

#include <errno.h>
#include <symbiotic/symcall.h>

#include "machine/vm.h"

/*
 * A busy host may keep a vCPU's thread waiting for 100 ms and more. A call that is given up costs
 * the guest the rest of its handler, with all locks that the handler held, so the limit is
 * generous.
 */
#define DEADLINE_US 1000000u

static void *on_translate(void *opaque, uint64_t gpa, uint64_t length)
{
	struct vm *vm = opaque;

	/* vCPUs' threads keep these pages, so they must not be in memory that can be unplugged. */
	return memory_translate_fixed(&vm->memory, gpa, length);
}

static int on_service_exit(void *opaque, struct kvm_run *run)
{
	struct vcpu *vcpu = opaque;

	return vcpu_service_exit(vcpu, run);
}

static void on_arm_deadline(void *opaque, uint64_t usec)
{
	struct vcpu *vcpu = opaque;

	vcpu_deadline_arm(vcpu, usec);
}

static void on_disarm_deadline(void *opaque)
{
	struct vcpu *vcpu = opaque;

	vcpu_deadline_disarm(vcpu);
}

static void on_log(void *opaque, enum sym_log_level level, const char *message)
{
	symbiotic_log(opaque, level, "symbiotic", message);
}

static const struct sym_ops symbiotic_ops = {
	.translate = on_translate,
	.service_exit = on_service_exit,
	.arm_deadline = on_arm_deadline,
	.disarm_deadline = on_disarm_deadline,
	.log = on_log,
};

int symbiotic_create(struct vm *vm, struct error *err)
{
	struct sym_vm_config config = {
		.size = sizeof(config),
		.vm_fd = vm->fd,
		.ops = &symbiotic_ops,
		.opaque = vm,
		.name = vm->config.name,
		.features = SYM_FEATURES_ALL,
		.deadline_us = DEADLINE_US,
	};
	const char *missing = NULL;
	int status;

	if (!vm->config.symbiotic)
		return 0;
	status = sym_check_host(vm->kvm_fd, &missing);
	if (status < 0)
		return error_set(err, status,
				 "symbiotic interface: this host's KVM does not have %s (run with "
				 "--symbiotic off)",
				 missing);
	vm->symbiotic = sym_vm_create(&config);
	if (!vm->symbiotic)
		return error_set_errno(err, -errno, "symbiotic interface");
	status = sym_vm_enable_msrs(vm->symbiotic, 0);
	if (status < 0)
		return error_set_errno(err, status, "symbiotic interface: MSR exits");
	return 0;
}

void symbiotic_destroy(struct vm *vm)
{
	if (vm->symbiotic)
		sym_vm_destroy(vm->symbiotic);
	vm->symbiotic = NULL;
}
