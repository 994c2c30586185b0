// SPDX-License-Identifier: BSD-2-Clause
/* A VM as its VMM asks KVM for it. Each request that matters is noted or extended on its way. */
#include "vm.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "handle.h"
#include "nested.h"
#include "raw_ioctl.h"
#include "say.h"
#include "util/clock.h"

#define DEADLINE_US 2000000u /* of a call: as long as a control command waits */

/* KVM_SET_USER_MEMORY_REGION2 (Linux 6.8), which older headers lack. Its head is the older form. */
#define SET_MEMORY_REGION2 _IOW(KVMIO, 0x49, char[160])

static void *translate(void *opaque, uint64_t gpa, uint64_t len)
{
	struct preload_vm *vm = opaque;

	/* libsymcall keeps the pages that the guest registers, and nothing else. */
	if (len >= SYM_PAGE_SIZE)
		return memslots_translate_kept(&vm->slots, gpa, len);
	return memslots_translate(&vm->slots, gpa, len);
}

static void log_line(void *opaque, enum sym_log_level level, const char *message)
{
	if (level <= SYM_LOG_WARN)
		preload_say("%s", message);
}

static const struct sym_ops ops = {
	.translate = translate,
	.service_exit = preload_service_exit,
	.arm_deadline = preload_arm_deadline,
	.disarm_deadline = preload_disarm_deadline,
	.log = log_line,
};

/* libsymcall's half: 0, or why not in *@why. */
static int create_engine(struct preload_vm *vm, int kvm_fd, const char **why)
{
	const struct sym_vm_config config = {.size = sizeof(config),
					     .vm_fd = vm->fd,
					     .ops = &ops,
					     .opaque = vm,
					     .name = program_invocation_short_name,
					     .deadline_us = DEADLINE_US,
					     .features = SYM_FEATURE_SYMCALL | SYM_FEATURE_SPY |
							 SYM_FEATURE_SAFEPOINT |
							 SYM_FEATURE_ABANDON};
	long run_size = preload_raw_ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);

	if (sym_check_host(kvm_fd, why))
		return -ENOTSUP;
	*why = "no memory";
	vm->engine = sym_vm_create(&config);
	if (!vm->engine)
		return -ENOMEM;
	*why = "KVM gives no size of kvm_run, or no MSR filter";
	if (run_size < (long)sizeof(struct kvm_run) || sym_vm_enable_msrs(vm->engine, 0) < 0)
		return -ENOTSUP;
	vm->run_size = (size_t)run_size;
	nested_check_host(vm, kvm_fd);
	return 0;
}

struct preload_vm *preload_vm_create(int kvm_fd, int fd)
{
	struct preload_vm *vm = calloc(1, sizeof(*vm));
	const char *why = "no memory";

	if (!vm) {
		preload_say("%s", why);
		return NULL;
	}
	vm->fd = fd;
	vm->created_ns = clock_now_ns();
	vm->guest = preload_guest(vm);
	memslots_init(&vm->slots);
	pthread_mutex_init(&vm->lock, NULL);
	clock_condition_init(&vm->changed);
	vm->kick_signal = preload_kick_signal_choose();
	if (vm->kick_signal < 0)
		why = "the VMM uses all real-time signals";
	else if (create_engine(vm, kvm_fd, &why) == 0)
		return vm;
	preload_step_aside(vm, why);
	sym_vm_destroy(vm->engine);
	free(vm);
	return NULL;
}

static long create_vcpu(struct preload_vm *vm, void *argument)
{
	long fd = preload_raw_ioctl(vm->fd, KVM_CREATE_VCPU, argument);

	if (fd < 0 || preload_vcpu_create(vm, (int)fd, (unsigned)(uintptr_t)argument))
		return fd;
	close((int)fd); /* its guest's MSR exits would reach a VMM that does not know them */
	return -ENOMEM;
}

static long set_memory_region(struct preload_vm *vm, unsigned long request, void *argument)
{
	long result = preload_raw_ioctl(vm->fd, request, argument);

	if (result >= 0 && memslots_set(&vm->slots, argument) < 0)
		preload_say("no memory for a memslot: the interface does not see it");
	return result;
}

static long set_msr_filter(struct preload_vm *vm, void *argument)
{
	struct kvm_msr_filter extended;
	long result;

	if (request_extend_msr_filter(argument, vm->denied, &extended) == 0) {
		result = preload_raw_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &extended);
		if (result >= 0)
			return result;
	}
	preload_step_aside(vm, "the VMM's own MSR filter leaves no room for the interface's");
	return preload_raw_ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, argument);
}

static long enable_cap(struct preload_vm *vm, void *argument)
{
	struct kvm_enable_cap cap = *(const struct kvm_enable_cap *)argument;

	if (cap.cap != KVM_CAP_X86_USER_SPACE_MSR)
		return preload_raw_ioctl(vm->fd, KVM_ENABLE_CAP, argument);
	vm->wants_filter_exits = cap.args[0] & KVM_MSR_EXIT_REASON_FILTER;
	cap.args[0] |= KVM_MSR_EXIT_REASON_FILTER;
	return preload_raw_ioctl(vm->fd, KVM_ENABLE_CAP, &cap);
}

long preload_vm_ioctl(struct preload_vm *vm, unsigned long request, void *argument)
{
	switch (request) {
	case KVM_CREATE_VCPU:
		return create_vcpu(vm, argument);
	case KVM_SET_USER_MEMORY_REGION:
	case SET_MEMORY_REGION2:
		return set_memory_region(vm, request, argument);
	case KVM_X86_SET_MSR_FILTER:
		return set_msr_filter(vm, argument);
	case KVM_ENABLE_CAP:
		return enable_cap(vm, argument);
	case KVM_MEMORY_ENCRYPT_OP:
		preload_step_aside(vm, "its memory is encrypted (SEV)");
		break;
	}
	return preload_raw_ioctl(vm->fd, request, argument);
}
