// SPDX-License-Identifier: BSD-2-Clause
/*
 * How a VM is put together and taken apart. lifecycle.c has what happens in between.
 *
 * vm_create() makes KVM's VM, the irqchip, RAM, the symbiotic engine, the vCPUs and the services.
 * Nothing runs yet. The caller then creates the devices by their classes, in the classes' order:
 * the PCI bus first. Each device adds what it needs of the jail, and the caller closes the jail of
 * the process. vm_start() loads the kernel and starts the I/O thread, the lifecycle thread, the
 * devices' own threads and last the vCPUs' threads, which begin parked. vm_destroy() takes these
 * steps in reverse, also for a VM that was created in part.
 *
 * The order of the end is the order of use: vCPUs' threads call devices, devices run on the I/O
 * loop, and both use guest memory. So the vCPUs end first, then the loop's thread, then services,
 * devices, the engine, and RAM. All that may wait for a disk or a lock is announced to the watchdog
 * (watchdog_phase), which ends the process if a step hangs.
 *
 * Nothing here knows a device or a service by name: they are in tables (machine/device.h,
 * machine/service.h).
 */
#include "machine/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "jail/jail.h"
#include "machine/host_guard.h"
#include "machine/lifecycle.h"
#include "machine/publish.h"
#include "machine/service.h"
#include "machine/symbiotic.h"
#include "machine/vcpu_state.h"
#include "machine/vm_panic.h"
#include "memory/memory_lost.h"
#include "util/clock.h"

#define KVM_TSS_GPA	     0xfffbd000ull /* three pages that Intel hosts need, below the BIOS */
#define KVM_IDENTITY_MAP_GPA 0xfffbc000ull

static int kvm_open(struct vm *vm, struct error *err)
{
	uint64_t identity = KVM_IDENTITY_MAP_GPA;

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		return error_set_errno(err, -errno, "/dev/kvm (see symvm doctor)");
	if (ioctl(vm->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return error_set(err, -ENOTSUP, "/dev/kvm: API version is not %d", KVM_API_VERSION);
	vm->fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, 0);
	if (vm->fd < 0)
		return error_set_errno(err, -errno, "KVM_CREATE_VM");
	if (ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 ||
	    ioctl(vm->fd, KVM_SET_TSS_ADDR, KVM_TSS_GPA) < 0)
		return error_set_errno(err, -errno, "KVM_SET_TSS_ADDR");
	return 0;
}

/* On the main loop's thread. */
static void report_memory_lost(void *opaque)
{
	struct vm *vm = opaque;
	struct error err;

	memory_lost_explain(&err);
	log_error(&vm->log, "%s", err.text);
	vm_end(vm, VM_END_FAILURE);
}

static int config_open(struct vm *vm, struct error *err)
{
	const struct vm_config *config = &vm->config;
	int status;

	if (config->cpus < 1 || config->cpus > VM_VCPUS_MAX)
		return error_set(err, -EINVAL, "cpus: %u is not from 1 to %u", config->cpus,
				 VM_VCPUS_MAX);
	status = boot_source_open(&vm->boot, config->kernel, config->initrd, config->command_line,
				  err);
	if (status < 0)
		return status;
	boot_hints_log(&vm->log, vm->boot.command_line);
	return memory_check_config(&config->memory, err);
}

static int irqchip_create(struct vm *vm, struct error *err)
{
	int status = irq_init(&vm->irq, vm->fd, err);

	return status < 0 ? status : chip_state_capture(vm, &vm->chips, err);
}

static int memory_create(struct vm *vm, struct error *err)
{
	int status = memory_init(&vm->memory, vm->fd, &vm->config.memory, err);

	if (status < 0)
		return status;
	return memory_lost_watch(&vm->memory, vm->main_loop, report_memory_lost, vm, err);
}

static int vcpus_create(struct vm *vm, struct error *err)
{
	int status = vcpu_signal_setup(err);

	for (unsigned id = 0; id < vm->config.cpus && status == 0; id++) {
		status = vcpu_create(vm, id, &vm->vcpus[id], err);
		if (status == 0)
			vm->vcpu_count++;
	}
	return status;
}

/*
 * The first step that fails ends the creation, and vm_destroy() undoes what was done. The
 * configuration comes first, so that a wrong option is reported on a host without KVM, too.
 */
static int (*const creation_steps[])(struct vm *vm, struct error *err) = {
	config_open,   vm_panic_init,	 kvm_open,     host_guard_enable, irqchip_create,
	memory_create, symbiotic_create, vcpus_create, services_start,
};

static int vm_init(struct vm *vm, struct error *err)
{
	int status = 0;

	for (size_t i = 0; i < sizeof(creation_steps) / sizeof(*creation_steps) && status == 0; i++)
		status = creation_steps[i](vm, err);
	return status;
}

int vm_create(struct vm_config *config, struct log *log, struct vm **out, struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int status;

	if (!vm)
		return error_set(err, -ENOMEM, "out of memory");
	vm->config = *config;
	memset(config, 0, sizeof(*config));
	vm->log = *log;
	vm->kvm_fd = vm->fd = vm->boot.kernel.fd = vm->boot.initrd.fd = -1;
	atomic_store(&vm->end, VM_END_NONE);
	pthread_mutex_init(&vm->state_lock, NULL);
	clock_condition_init(&vm->state_changed);
	pthread_mutex_init(&vm->work_lock, NULL);
	clock_condition_init(&vm->work_done);
	exit_observers_init(&vm->exit_observers);
	doorbells_init(&vm->doorbells);
	bus_init(&vm->pio);
	bus_init(&vm->mmio);
	status = event_loop_create(&vm->main_loop);
	if (status == 0)
		status = event_loop_create(&vm->io_loop);
	if (status < 0)
		error_set_errno(err, status, "event loops");
	else
		status = vm_init(vm, err);
	if (status < 0) {
		vm_destroy(vm);
		return status;
	}
	*out = vm;
	return 0;
}

static void config_free(struct vm_config *config)
{
	free(config->name);
	free(config->kernel);
	free(config->initrd);
	free(config->command_line);
}

void vm_destroy(struct vm *vm)
{
	if (!vm)
		return;
	vm_end(vm, VM_END_STOPPED);
	/* Each step says what it waits for: the watchdog's last words, in case it does not end. */
	watchdog_phase(vm->watchdog, "a reset");
	lifecycle_stop(vm);
	watchdog_phase(vm->watchdog, "a vCPU's thread");
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_destroy(vm->vcpus[i]);
	watchdog_phase(vm->watchdog, "the I/O thread");
	if (vm->io_started) {
		event_loop_quit(vm->io_loop);
		pthread_join(vm->io_thread, NULL);
	}
	services_stop(vm);
	watchdog_phase(vm->watchdog, "a device");
	devices_destroy(vm);
	vm_panic_destroy(vm);
	watchdog_phase(vm->watchdog, "the guest's memory");
	symbiotic_destroy(vm);
	memory_lost_forget(&vm->memory);
	memory_destroy(&vm->memory);
	chip_state_free(vm->chips);
	irq_destroy(&vm->irq);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm_fd >= 0)
		close(vm->kvm_fd);
	boot_source_close(&vm->boot);
	event_loop_destroy(vm->io_loop);
	event_loop_destroy(vm->main_loop);
	bus_destroy(&vm->pio);
	bus_destroy(&vm->mmio);
	exit_observers_destroy(&vm->exit_observers);
	doorbells_destroy(&vm->doorbells);
	pthread_mutex_destroy(&vm->state_lock);
	pthread_cond_destroy(&vm->state_changed);
	pthread_mutex_destroy(&vm->work_lock);
	pthread_cond_destroy(&vm->work_done);
	config_free(&vm->config);
	free(vm);
}

static void *io_thread(void *opaque)
{
	struct vm *vm = opaque;
	struct error err;

	pthread_setname_np(pthread_self(), "io");
	if (jail_enter_thread(vm->jail, JAIL_THREAD_IO, &err) < 0) {
		log_error(&vm->log, "I/O thread: %s", err.text);
		vm_end(vm, VM_END_FAILURE);
		return NULL;
	}
	event_loop_run(vm->io_loop);
	return NULL;
}

int vm_start(struct vm *vm, struct error *err)
{
	int status = lifecycle_boot(vm, err);

	if (status == 0) {
		status = -pthread_create(&vm->io_thread, NULL, io_thread, vm);
		if (status < 0)
			return error_set_errno(err, status, "pthread_create");
		vm->io_started = true;
		status = lifecycle_start(vm, err);
	}
	publish_refresh(vm);
	if (status == 0)
		status = devices_start(vm, err);
	for (unsigned i = 0; i < vm->vcpu_count && status == 0; i++)
		status = vcpu_start(vm->vcpus[i], err);
	if (status < 0)
		return status;
	vm->started_ns = clock_now_ns();
	vm->state = VM_STATE_PAUSED;
	return vm->config.start_paused ? 0 : vm_resume(vm);
}

double vm_uptime(const struct vm *vm)
{
	return vm->started_ns ? (double)(clock_now_ns() - vm->started_ns) / 1e9 : 0;
}
