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

static const char no_interface[] = "this VM runs without the symbiotic interface (--symbiotic off)";

static int vm_check(void *opaque, struct guest_error *err)
{
	struct vm *vm = opaque;
	struct error words = {""};
	int status;

	if (!vm->symbiotic)
		return guest_error_set(err, -EOPNOTSUPP, "%s", no_interface);
	/* After a panic the guest runs for calls only. */
	if (atomic_load(&vm->panic.answers) && !vm_has_ended(vm))
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

const char *guest_boot_state_name(uint32_t state)
{
	static const char *const names[] = {
		[SYM_BOOT_UNKNOWN] = "unknown",
		[SYM_BOOT_RUNNING] = "running",
		[SYM_BOOT_SHUTDOWN] = "shutdown",
		[SYM_BOOT_PANIC] = "panic",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

int guest_check_service(struct vm *vm, const void *service, struct error *err)
{
	return service ? vm_check_runs(vm, err) : error_set(err, -EOPNOTSUPP, "%s", no_interface);
}

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
