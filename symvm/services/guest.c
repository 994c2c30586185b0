// SPDX-License-Identifier: BSD-2-Clause
#include "services/guest.h"

#include <errno.h>

#include "machine/symbiotic.h"
#include "machine/vm.h"

struct borrowed_call {
	void (*function)(void *argument);
	void *argument;
};

static unsigned vm_vcpu_count(void *opaque)
{
	const struct vm *vm = opaque;

	return vm->vcpu_count;
}

static struct sym_vcpu *vm_engine(void *opaque, unsigned vcpu)
{
	const struct vm *vm = opaque;

	return vm->vcpus[vcpu]->symbiotic;
}

static void run_borrowed(struct vcpu *vcpu, void *opaque)
{
	const struct borrowed_call *call = opaque;

	call->function(call->argument);
}

static int vm_run_on(void *opaque, unsigned vcpu, void (*function)(void *argument), void *argument,
		     unsigned timeout_ms)
{
	struct vm *vm = opaque;
	struct borrowed_call call = {function, argument};

	return vcpu_run_on(vm->vcpus[vcpu], run_borrowed, &call, timeout_ms);
}

static int vm_check(void *opaque, struct guest_error *err)
{
	struct vm *vm = opaque;
	struct error words = {""};
	int status;

	if (!vm->symbiotic)
		return guest_error_set(
			err, -EOPNOTSUPP,
			"this VM runs without the symbiotic interface (--symbiotic off)");
	/* After a panic the guest runs no more, but for calls. */
	if (atomic_load(&vm->panic.answers) && atomic_load(&vm->end) == VM_END_NONE)
		return 0;
	status = vm_check_runs(vm, &words);
	return status < 0 ? guest_error_set(err, status, "%s", words.text) : 0;
}

static void vm_guest_log(void *opaque, enum sym_log_level level, const char *message)
{
	symbiotic_log(opaque, level, "guest", message);
}

static const struct guest_ops vm_guest_ops = {
	.vcpu_count = vm_vcpu_count,
	.engine = vm_engine,
	.run_on = vm_run_on,
	.check = vm_check,
	.log = vm_guest_log,
};

struct guest guest_of_vm(struct vm *vm)
{
	return (struct guest){.ops = &vm_guest_ops, .opaque = vm};
}

struct guest_limit guest_limit_of(const struct wait_limit *limit)
{
	return (struct guest_limit){.end_ns = limit->end_ns, .cut = &limit->cut};
}

int guest_error_pass(struct error *err, int status, const struct guest_error *words)
{
	return error_set(err, status, "%s", words->text);
}
