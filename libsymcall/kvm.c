/* SPDX-License-Identifier: BSD-2-Clause */
/* The library's way to a vCPU's ioctls, the clock and the log. */
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#include "internal.h"

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t sym_now_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

/* Up to a tick (10 ms) behind, but much cheaper than the exact time. */
uint64_t sym_now_coarse_ns(void)
{
	return now_ns(CLOCK_MONOTONIC_COARSE);
}

/*
 * The embedder's signal handler may set kvm_run->immediate_exit to 1 on this thread at any
 * instruction. The library uses another bit of it and changes that by single instructions, which a
 * signal handler cannot interrupt halfway. So no bus lock is needed, and such a kick stays set and
 * ends the next run.
 */
static void immediate_set(uint8_t *immediate_exit)
{
	__asm__ volatile("orb $2, %0" : "+m"(*immediate_exit));
}

static void immediate_clear(uint8_t *immediate_exit)
{
	__asm__ volatile("andb $0xfd, %0" : "+m"(*immediate_exit));
}

void sym_log(const struct sym_vm *vm, enum sym_log_level level, const char *format, ...)
{
	char line[256];
	va_list arguments;

	if (!vm->ops->log)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	vm->ops->log(vm->opaque, level, line);
}

/* A vCPU ioctl outside of calls. 0 or a negative errno. */
int sym_kvm_control(struct sym_vcpu *vcpu, unsigned long request, void *argument)
{
	return ioctl(vcpu->fd, request, argument) < 0 ? -errno : 0;
}

/* A vCPU ioctl, not KVM_RUN, that a call makes: expensive, so it is counted. 0 or -errno. */
int sym_kvm_ioctl(struct sym_vcpu *vcpu, unsigned long request, void *argument)
{
	sym_count(vcpu, other_ioctls);
	return sym_kvm_control(vcpu, request, argument);
}

static int run_once(struct sym_vcpu *vcpu)
{
	int result;

	sym_count(vcpu, kvm_runs);
	result = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	/* A bit left here would load stale registers at some later run. */
	vcpu->run->kvm_dirty_regs = 0;
	return result;
}

/*
 * Runs the guest until an exit (0) or a kick (-EINTR). A kick is remembered for the embedder. The
 * registers of `valid_regs` (KVM_SYNC_X86_*) are in kvm_run afterwards.
 */
int sym_kvm_run(struct sym_vcpu *vcpu, uint32_t valid_regs)
{
	int result;

	vcpu->run->kvm_valid_regs = valid_regs;
	sym_spy_set_preempted(vcpu, false);
	result = run_once(vcpu);
	sym_spy_set_preempted(vcpu, true);
	if (result == -EINTR) {
		vcpu->kicked = true;
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
	}
	return result;
}

/*
 * Completes what is pending without running the guest: -EINTR if all is complete, 0 if completion
 * brought a further exit. All synchronized registers are in kvm_run afterwards.
 */
int sym_kvm_run_immediate(struct sym_vcpu *vcpu)
{
	int result;

	vcpu->run->kvm_valid_regs = SYM_SYNC_ALL;
	immediate_set(&vcpu->run->immediate_exit);
	result = run_once(vcpu);
	immediate_clear(&vcpu->run->immediate_exit);
	return result;
}
