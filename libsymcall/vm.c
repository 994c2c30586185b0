/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM-wide state, and the engine's needs of the host's KVM. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

#define DEFAULT_DEADLINE_US	  100000u
#define DEFAULT_DOORBELLS_PER_SEC 100000u

int sym_check_host(int kvm_fd, const char **missing)
{
	static const struct {
		int capability;
		int bits;
		const char *name;
	} needs[] = {
		{KVM_CAP_SYNC_REGS, SYM_SYNC_ALL, "KVM_CAP_SYNC_REGS"},
		{KVM_CAP_IMMEDIATE_EXIT, 1, "KVM_CAP_IMMEDIATE_EXIT"},
		/* KVM answers 1, not the mask of exit reasons that it knows. */
		{KVM_CAP_X86_USER_SPACE_MSR, 1, "KVM_CAP_X86_USER_SPACE_MSR"},
		{KVM_CAP_X86_MSR_FILTER, 1, "KVM_CAP_X86_MSR_FILTER"},
		{KVM_CAP_VCPU_EVENTS, 1, "KVM_CAP_VCPU_EVENTS"},
		{KVM_CAP_MP_STATE, 1, "KVM_CAP_MP_STATE"},
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		int have = ioctl(kvm_fd, KVM_CHECK_EXTENSION, needs[i].capability);

		if (have < 0 || (have & needs[i].bits) != needs[i].bits) {
			if (missing)
				*missing = needs[i].name;
			return -ENOTSUP;
		}
	}
	return 0;
}

struct sym_vm *sym_vm_create(const struct sym_vm_config *config)
{
	struct sym_vm *vm;
	int error;

	if (config->size != sizeof(*config) || !config->ops || !config->ops->translate ||
	    !config->ops->service_exit ||
	    !config->ops->arm_deadline != !config->ops->disarm_deadline ||
	    (config->features & ~SYM_FEATURES_ALL)) {
		errno = EINVAL;
		return NULL;
	}
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return NULL;
	error = pthread_mutex_init(&vm->lock, NULL);
	if (error) {
		free(vm);
		errno = error;
		return NULL;
	}
	vm->vm_fd = config->vm_fd;
	vm->guest_mode_shown = ioctl(vm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_GUEST_MODE) > 0;
	vm->ops = config->ops;
	vm->opaque = config->opaque;
	if (config->name)
		snprintf(vm->name, sizeof(vm->name), "%s", config->name);
	memcpy(vm->uuid, config->uuid, sizeof(vm->uuid));
	vm->offered = config->features;
	vm->deadline_us = config->deadline_us ? config->deadline_us : DEFAULT_DEADLINE_US;
	vm->doorbells_per_sec = config->doorbells_per_sec ? config->doorbells_per_sec
							  : DEFAULT_DOORBELLS_PER_SEC;
	return vm;
}

void sym_vm_destroy(struct sym_vm *vm)
{
	if (!vm)
		return;
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

void sym_vm_reset(struct sym_vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	vm->spy = NULL;
	vm->spy_msr = 0;
	pthread_mutex_unlock(&vm->lock);
	atomic_store(&vm->granted, 0);
	atomic_store(&vm->guest_version, 0);
}

/*
 * A filter that denies the guest the interface's own MSRs and nothing else. KVM asks the filter
 * first, so the host's `ignore_msrs` cannot swallow an access (kvm_set_msr_with_filter()).
 */
static int filter_own_msrs(int vm_fd)
{
	uint8_t denied[(SYM_MSR_COUNT + 63) / 64 * 8] = {0};
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[0] = {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			      .nmsrs = SYM_MSR_COUNT,
			      .base = SYM_MSR_BASE,
			      .bitmap = denied},
	};

	return ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &filter) < 0 ? -errno : 0;
}

int sym_vm_enable_msrs(struct sym_vm *vm, uint64_t extra_reasons)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = {extra_reasons | (vm->offered ? KVM_MSR_EXIT_REASON_FILTER : 0)},
	};

	if (!cap.args[0])
		return 0;
	if (ioctl(vm->vm_fd, KVM_ENABLE_CAP, &cap) < 0)
		return -errno;
	return vm->offered ? filter_own_msrs(vm->vm_fd) : 0;
}

uint32_t sym_vm_guest_version(const struct sym_vm *vm)
{
	return atomic_load(&vm->guest_version);
}

uint32_t sym_vm_features(const struct sym_vm *vm)
{
	return atomic_load(&vm->granted);
}

int sym_vm_set_doorbell(struct sym_vm *vm, uint32_t reason, sym_doorbell_fn handler, void *opaque)
{
	if (reason >= SYM_DOORBELL_REASONS)
		return -ENOSPC;
	if (!handler)
		return -EINVAL;
	if (vm->doorbells[reason].handler)
		return -EEXIST;
	vm->doorbells[reason] = (struct sym_doorbell_entry){handler, opaque};
	return 0;
}
