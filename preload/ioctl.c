// SPDX-License-Identifier: BSD-2-Clause
/*
 * libsymcall-preload: symbiotic calls for a VMM that knows nothing of them. LD_PRELOAD puts this
 * library in front of the C library, of which it replaces ioctl() alone. It follows the VMM from
 * /dev/kvm to its VM and its vCPUs by the descriptors that KVM returns. All other requests, and all
 * of a process that is not a VMM, pass through.
 *
 * The state of the process (`preload`) is the one exception to the rule that nothing is global: an
 * interposed function has no argument that could carry it.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "raw_ioctl.h"
#include "say.h"
#include "server.h"
#include "vm.h"

#define LIBRARY_NAME   "libsymcall-preload.so.0"
#define DESCRIPTORS    65536 /* a VM or vCPU with a higher descriptor is not followed */
#define VM_TYPE_NORMAL 0u    /* of KVM_CREATE_VM: the others are of SEV and TDX */

static struct {
	_Atomic(struct preload_vm *) vms[DESCRIPTORS];
	_Atomic(struct preload_vcpu *) vcpus[DESCRIPTORS];
	/* Of the thread that creates VMs: */
	struct preload_vm *vm;
	struct preload_server *server;
} preload;

/*
 * Programs that the VMM starts shall not be followed. The constructor would be too early: the
 * library is also loaded into the shell or the wrapper that starts the VMM.
 */
static void leave_environment(void)
{
	const char *value = getenv("LD_PRELOAD");
	size_t size = value ? strlen(value) + 1 : 0;
	char *rest = malloc(size);

	if (value && rest && request_drop_preload(value, LIBRARY_NAME, rest, size) == 0) {
		if (*rest)
			setenv("LD_PRELOAD", rest, 1);
		else
			unsetenv("LD_PRELOAD");
	}
	free(rest);
}

/* A descriptor of the VMM's new VM. Probes create VMs, too: the last one without a vCPU counts. */
static void vm_created(int kvm_fd, int fd)
{
	struct preload_vm *vm;
	struct error err;

	if (preload.vm && atomic_load(&preload.vm->vcpu_count)) {
		preload_say("only the first VM of a process has the symbiotic interface");
		return;
	}
	vm = preload_vm_create(kvm_fd, fd);
	if (!vm)
		return;
	if (preload.server) {
		preload_server_set_vm(preload.server, vm);
	} else if (preload_server_start(vm, &preload.server, &err) < 0) {
		preload_step_aside(vm, err.text);
	}
	leave_environment();
	preload.vm = vm;
	atomic_store(&preload.vms[fd], vm);
}

static long pass_on(int fd, unsigned long request, void *argument)
{
	long result = preload_raw_ioctl(fd, request, argument);

	if (request != KVM_CREATE_VM || result < 0 || result >= DESCRIPTORS)
		return result;
	/* The number may have been that of a descriptor that was followed. */
	atomic_store(&preload.vms[result], NULL);
	atomic_store(&preload.vcpus[result], NULL);
	if ((uintptr_t)argument != VM_TYPE_NORMAL)
		preload_say("a VM of type %lu has no symbiotic interface",
			    (unsigned long)(uintptr_t)argument);
	else
		vm_created(fd, (int)result);
	return result;
}

static long pass_vm(struct preload_vm *vm, unsigned long request, void *argument)
{
	long result = preload_vm_ioctl(vm, request, argument);
	unsigned count = atomic_load(&vm->vcpu_count);

	if (request != KVM_CREATE_VCPU || result < 0 || result >= DESCRIPTORS)
		return result;
	atomic_store(&preload.vms[result], NULL);
	atomic_store(&preload.vcpus[result], vm->vcpus[count - 1]);
	return result;
}

static long dispatch(int fd, unsigned long request, void *argument)
{
	struct preload_vcpu *vcpu;
	struct preload_vm *vm;

	if (_IOC_TYPE(request) != KVMIO || fd < 0 || fd >= DESCRIPTORS)
		return preload_raw_ioctl(fd, request, argument);
	vcpu = atomic_load_explicit(&preload.vcpus[fd], memory_order_acquire);
	if (vcpu)
		return preload_vcpu_ioctl(vcpu, request, argument);
	vm = atomic_load_explicit(&preload.vms[fd], memory_order_acquire);
	return vm ? pass_vm(vm, request, argument) : pass_on(fd, request, argument);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	return ioctl_result(dispatch(fd, request, argument));
}

__attribute__((destructor)) static void leave(void)
{
	preload_server_end(preload.server);
}
