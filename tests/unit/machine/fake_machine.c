// SPDX-License-Identifier: BSD-2-Clause
#include "fake_machine.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <symbiotic/symcall.h>

#include "jail/jail.h"
#include "machine/cpuid.h"
#include "machine/boot.h"
#include "machine/lifecycle.h"
#include "memory/memory_plug.h"
#include "machine/vcpu_state.h"
#include "machine/vm.h"
#include "machine/vm_panic.h"
#include "util/clock.h"

#define RUN_SIZE (sizeof(struct kvm_run) + 4096)

struct fake_machine fake;

/* A guest that runs until it is kicked. */
static int fake_run(int fd)
{
	struct vcpu *vcpu = NULL;
	unsigned port;

	for (unsigned i = 0; i < fake.vm.vcpu_count; i++)
		if (fake.vm.vcpus[i]->fd == fd)
			vcpu = fake.vm.vcpus[i];
	for (;;) {
		if (__atomic_load_n(&vcpu->run->immediate_exit, __ATOMIC_SEQ_CST) ||
		    (vcpu->id == 1 && atomic_exchange(&fake.stopped, false))) {
			errno = EINTR;
			return -1;
		}
		atomic_fetch_add(&fake.entries, 1);
		port = vcpu->id == 0 ? atomic_exchange(&fake.port, 0) : 0;
		if (port) {
			vcpu->run->exit_reason = KVM_EXIT_IO;
			vcpu->run->io.direction = KVM_EXIT_IO_OUT;
			vcpu->run->io.port = (uint16_t)port;
			vcpu->run->io.size = 1;
			vcpu->run->io.count = 1;
			vcpu->run->io.data_offset = sizeof(struct kvm_run);
			return 0;
		}
		usleep(500);
	}
}

/* A descriptor that kvm_run can be mapped from. */
static int fake_vcpu(void)
{
	int fd = memfd_create("vcpu", MFD_CLOEXEC);

	return fd >= 0 && ftruncate(fd, RUN_SIZE) == 0 ? fd : -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	switch (request) {
	case KVM_RUN:
		return fake_run(fd);
	case KVM_CREATE_VCPU:
		return fake_vcpu();
	case KVM_GET_VCPU_MMAP_SIZE:
		return RUN_SIZE;
	case KVM_KVMCLOCK_CTRL:
		atomic_fetch_add(&fake.clock_told, 1);
		return 0;
	default:
		return 0;
	}
}

bool bus_dispatch(struct bus *bus, uint64_t address, void *data, unsigned length, bool is_write)
{
	if (address == RESET_PORT)
		vm_request_reset(&fake.vm);
	if (address == DISK_PORT) {
		atomic_store(&fake.in_disk, true);
		while (atomic_load(&fake.disk_hangs))
			usleep(500);
		atomic_store(&fake.in_disk, false);
	}
	return true;
}

static void device_reset(struct device *device)
{
	atomic_store(&fake.in_reset, true);
	while (atomic_load(&fake.reset_hangs))
		usleep(500);
}

int boot_load(struct vm *vm, struct boot_entry *entry, struct error *err)
{
	usleep(1000);
	atomic_store(&fake.in_reset, false);
	atomic_fetch_add(&fake.boots, 1);
	return 0;
}

int boot_set_registers(struct vcpu *vcpu, const struct boot_entry *entry, struct error *err)
{
	return 0;
}

int jail_enter_thread(struct jail *jail, enum jail_thread kind, struct error *err)
{
	return 0;
}

int chip_state_restore(struct vm *vm, const struct chip_power_on *chips)
{
	return 0;
}

int vcpu_state_capture(struct vcpu *vcpu, struct vcpu_power_on **state, struct error *err)
{
	return 0;
}

int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_power_on *state)
{
	return 0;
}

void vcpu_state_free(struct vcpu_power_on *state)
{
}

int cpuid_build(struct vm *vm, unsigned id, struct kvm_cpuid2 *table, struct error *err)
{
	return 0;
}

enum vm_end vm_panic_reason(struct vm *vm, enum vm_end reason)
{
	return reason;
}

void vm_panic_note(struct vm *vm)
{
}

void vm_panic_log(struct vm *vm)
{
}

bool vm_panic_finish(struct vm *vm)
{
	return false;
}

bool boot_reset_announced(struct vm *vm)
{
	return false;
}

struct memory_region *memory_plug_region(struct guest_memory *memory)
{
	return NULL;
}

void *memory_translate(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	return NULL;
}

int memory_discard(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	return 0;
}

static void *main_loop(void *opaque)
{
	event_loop_run(fake.vm.main_loop);
	return NULL;
}

int fake_machine_setup(void **state)
{
	static const struct device_ops ops = {.reset = device_reset};
	struct vm *vm = &fake.vm;
	struct error err;

	memset(&fake, 0, sizeof(fake));
	atomic_store(&vm->end, VM_END_NONE);
	log_init(&vm->log, STDERR_FILENO, LOG_LEVEL_ERROR);
	fake.device.ops = &ops;
	vm->devices = &fake.device;
	pthread_mutex_init(&vm->state_lock, NULL);
	clock_condition_init(&vm->state_changed);
	pthread_mutex_init(&vm->work_lock, NULL);
	clock_condition_init(&vm->work_done);
	if (event_loop_create(&vm->main_loop) < 0 || vcpu_signal_setup(&err) < 0)
		return -1;
	for (unsigned i = 0; i < VCPUS; i++, vm->vcpu_count++)
		if (vcpu_create(vm, i, &vm->vcpus[i], &err) < 0)
			return -1;
	vm->state = VM_STATE_PAUSED;
	if (lifecycle_start(vm, &err) < 0)
		return -1;
	for (unsigned i = 0; i < VCPUS; i++)
		if (vcpu_start(vm->vcpus[i], &err) < 0)
			return -1;
	if (vm_resume(vm) < 0)
		return -1;
	return pthread_create(&fake.main_thread, NULL, main_loop, NULL);
}

int fake_machine_teardown(void **state)
{
	struct vm *vm = &fake.vm;

	vm_end(vm, VM_END_STOPPED);
	pthread_join(fake.main_thread, NULL);
	atomic_store(&fake.disk_hangs, false);
	atomic_store(&fake.reset_hangs, false);
	lifecycle_stop(vm);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_destroy(vm->vcpus[i]);
	event_loop_destroy(vm->main_loop);
	pthread_mutex_destroy(&vm->state_lock);
	pthread_cond_destroy(&vm->state_changed);
	pthread_mutex_destroy(&vm->work_lock);
	pthread_cond_destroy(&vm->work_done);
	return 0;
}

void fake_work(struct vcpu *vcpu, void *opaque)
{
	atomic_fetch_add(&fake.worked, 1);
	if (atomic_load(&fake.in_reset))
		atomic_fetch_add(&fake.worked_in_reset, 1);
	usleep(200);
	if (atomic_load(&fake.in_reset))
		atomic_fetch_add(&fake.worked_in_reset, 1);
}

void guest_writes(unsigned port)
{
	atomic_store(&fake.port, port);
}

void await(const _Atomic bool *flag)
{
	for (int i = 0; i < 20000 && !atomic_load(flag); i++)
		usleep(500);
	assert_true(atomic_load(flag));
}

void await_boots(unsigned count)
{
	for (int i = 0; i < 20000 && atomic_load(&fake.boots) < count; i++)
		usleep(500);
	assert_int_equal(atomic_load(&fake.boots), count);
}

bool guest_runs(void)
{
	unsigned before = atomic_load(&fake.entries);

	for (int i = 0; i < 2000; i++) {
		usleep(500);
		if (atomic_load(&fake.entries) > before + 2 * VCPUS)
			return true;
	}
	return false;
}
