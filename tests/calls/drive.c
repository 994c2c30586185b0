/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the machine's guest, calls into it, and registers through it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "devices.h"
#include "machine.h"

#define RUN_SECONDS_MAX 60

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

int machine_run_to_exit(struct machine *m)
{
	for (;;) {
		int result = sym_vcpu_run(m->vcpu);

		if (result == 1)
			continue;
		if (result == -EINTR)
			__atomic_store_n(&m->run->immediate_exit, 0, __ATOMIC_RELAXED);
		return result ? result : (int)m->run->exit_reason;
	}
}

int machine_run(struct machine *m)
{
	time_t end = seconds() + RUN_SECONDS_MAX;

	while (seconds() < end) {
		int result = machine_run_to_exit(m);
		uint64_t sum;

		if (result == -EINTR) {
			m->kicks++;
			if (m->mode == CALLS_AT_KICKS)
				machine_ping(m, m->kicks, 7, &sum);
			continue;
		}
		if (result < 0)
			return result;
		result = devices_service(m);
		if (result == 1)
			return 0;
		if (result) {
			fprintf(stderr, "# exit %u ended the run: %d\n", m->run->exit_reason,
				result);
			return result;
		}
	}
	return -ETIME;
}

int machine_ping(struct machine *m, uint64_t a, uint64_t b, uint64_t *sum)
{
	const struct sym_call_request request = {
		.number = SYM_CALL_PING,
		.args = {a, b},
		.flags = m->fault_msr ? SYM_CALL_MAY_FAIL : 0,
	};
	struct sym_call_result result;
	int error = sym_call(m->vcpu, &request, &result);

	*sum = 0;
	if (error == -EAGAIN) {
		m->call_again++;
		return error;
	}
	m->call_count++;
	if (error || (uint64_t)result.value != a + b) {
		m->call_errors++;
		m->last_error = error ? error : -EBADMSG;
		fprintf(stderr, "# call: errno %d, %lld\n", -error, (long long)result.value);
		return error ? error : -EBADMSG;
	}
	*sum = (uint64_t)result.value;
	return 0;
}

/* Registers `handler`, runs the guest to its spin loop, kicks it, calls. */
int machine_call(struct machine *m, uint64_t handler, uint64_t a, uint64_t b, int64_t *value)
{
	const struct sym_call_request request = {.number = SYM_CALL_PING, .args = {a, b}};
	struct sym_call_result result = {0};
	int error;

	machine_register(m, handler, GS_DATA, 0);
	machine_start(m, GUEST_LABEL(g_spin));
	machine_kick_once(m, 2000);
	error = machine_run_to_exit(m);
	if (error != -EINTR) {
		fprintf(stderr, "# no kick but exit %d\n", error);
		return -EPROTO;
	}
	error = sym_call(m->vcpu, &request, &result);
	*value = result.value;
	return error;
}

static int run_msr(struct machine *m, uint64_t label, uint32_t msr, uint64_t *value)
{
	struct kvm_regs regs = {0};
	enum call_mode mode = m->mode;

	m->mode = CALLS_NONE;
	machine_start(m, label);
	regs.rip = label;
	regs.rsp = KERNEL_STACK;
	regs.rflags = 2;
	regs.rcx = msr;
	regs.rax = (uint32_t)*value;
	regs.rdx = *value >> 32;
	machine_set_regs(m, regs);
	if (machine_run(m))
		abort();
	m->mode = mode;
	if (ioctl(m->vcpu_fd, KVM_GET_REGS, &regs) < 0)
		abort();
	*value = regs.rsi << 32 | (uint32_t)regs.rax;
	return regs.rbx ? -1 : 0;
}

int machine_rdmsr(struct machine *m, uint32_t msr, uint64_t *value)
{
	return run_msr(m, GUEST_LABEL(g_rdmsr), msr, value);
}

int machine_wrmsr(struct machine *m, uint32_t msr, uint64_t value)
{
	if (!run_msr(m, GUEST_LABEL(g_wrmsr), msr, &value))
		return 0;
	if (machine_rdmsr(m, SYM_MSR_BASE + SYM_MSR_STATUS, &value))
		return -ENODEV;
	return (int)(int64_t)value;
}

static void must(struct machine *m, uint32_t index, uint64_t value)
{
	int error = machine_wrmsr(m, SYM_MSR_BASE + index, value);

	if (error) {
		fprintf(stderr, "registration MSR %u refused: errno %d\n", index, -error);
		exit(1);
	}
}

void machine_register(struct machine *m, uint64_t handler, uint64_t gs_base, uint64_t cr3_clear)
{
	uint64_t control = 0;

	machine_rdmsr(m, SYM_MSR_BASE + SYM_MSR_CONTROL, &control);
	must(m, SYM_MSR_CONTROL, 0);
	must(m, SYM_MSR_GUEST, (uint64_t)SYM_ABI_VERSION << 32 | SYM_FEATURES_ALL);
	must(m, SYM_MSR_ENTRY_RIP, handler);
	must(m, SYM_MSR_ENTRY_RSP, GUEST_HIGH + CALL_STACK);
	must(m, SYM_MSR_ENTRY_GS_BASE, gs_base);
	must(m, SYM_MSR_ENTRY_SEGS, SEL_KCODE | SEL_KDATA << 16);
	must(m, SYM_MSR_ENTRY_CR3, cr3_clear);
	must(m, SYM_MSR_BLOCK_START, 0);
	must(m, SYM_MSR_BLOCK_END, 0);
	must(m, SYM_MSR_CONTROL, SYM_CONTROL_ENABLE);
	m->handler = handler;
}

void machine_spy_pages(struct machine *m)
{
	must(m, SYM_MSR_SPY_VM, SPY_VM | SYM_SPY_ENABLE);
	must(m, SYM_MSR_SPY_VCPU, SPY_VCPU | SYM_SPY_ENABLE);
}
