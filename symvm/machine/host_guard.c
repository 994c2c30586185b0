// SPDX-License-Identifier: BSD-2-Clause
#include "machine/host_guard.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <time.h>

#include "machine/vm.h"

#define BUS_LOCK_PRICE_NS 1000000L

static int cap_enable(struct vm *vm, unsigned cap, uint64_t argument, const char *name,
		      struct error *err)
{
	struct kvm_enable_cap enable = {.cap = cap, .args = {argument}};

	if (ioctl(vm->fd, KVM_ENABLE_CAP, &enable) < 0)
		return error_set_errno(err, -errno, "%s", name);
	return 0;
}

int host_guard_enable(struct vm *vm, struct error *err)
{
	const int notify = KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER;
	int status = 0, has;

	/* The upper half is a window in addition to the host's own default: none. */
	if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_NOTIFY_VMEXIT) > 0)
		status = cap_enable(vm, KVM_CAP_X86_NOTIFY_VMEXIT, (uint64_t)notify,
				    "KVM_CAP_X86_NOTIFY_VMEXIT", err);
	has = ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_BUS_LOCK_EXIT);
	if (status == 0 && has > 0 && (has & KVM_BUS_LOCK_DETECTION_EXIT))
		status = cap_enable(vm, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT,
				    "KVM_CAP_X86_BUS_LOCK_EXIT", err);
	return status;
}

void host_guard_on_exit(struct vcpu *vcpu, const struct kvm_run *run)
{
	const struct timespec price = {.tv_nsec = BUS_LOCK_PRICE_NS};

	/* The flag also comes with exits for other reasons. */
	if (run->exit_reason != KVM_EXIT_X86_BUS_LOCK && !(run->flags & KVM_RUN_X86_BUS_LOCK))
		return;
	atomic_fetch_add_explicit(&vcpu->counters.bus_locks, 1, memory_order_relaxed);
	/* A kick cuts this short, which is right: another thread waits for the vCPU. */
	clock_nanosleep(CLOCK_MONOTONIC, 0, &price, NULL);
}

bool host_guard_can_continue(const struct kvm_run *run)
{
	return !(run->notify.flags & KVM_NOTIFY_CONTEXT_INVALID);
}
