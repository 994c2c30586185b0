// SPDX-License-Identifier: BSD-2-Clause
/* Handles an exit: by devices on the two buses, or by the end of the guest. */
#include <errno.h>
#include <string.h>
#include <symbiotic/symcall.h>

#include "machine/host_guard.h"
#include "machine/vcpu.h"
#include "machine/vm.h"

/* Names of KVM_EXIT_* by number; kernel Documentation/virt/kvm/api.rst. */
static const char *const exit_names[] = {
	[KVM_EXIT_UNKNOWN] = "unknown",
	[KVM_EXIT_EXCEPTION] = "exception",
	[KVM_EXIT_IO] = "io",
	[KVM_EXIT_HYPERCALL] = "hypercall",
	[KVM_EXIT_DEBUG] = "debug",
	[KVM_EXIT_HLT] = "hlt",
	[KVM_EXIT_MMIO] = "mmio",
	[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq_window_open",
	[KVM_EXIT_SHUTDOWN] = "shutdown",
	[KVM_EXIT_FAIL_ENTRY] = "fail_entry",
	[KVM_EXIT_INTR] = "intr",
	[KVM_EXIT_SET_TPR] = "set_tpr",
	[KVM_EXIT_INTERNAL_ERROR] = "internal_error",
	[KVM_EXIT_SYSTEM_EVENT] = "system_event",
	[KVM_EXIT_IOAPIC_EOI] = "ioapic_eoi",
	[KVM_EXIT_X86_RDMSR] = "rdmsr",
	[KVM_EXIT_X86_WRMSR] = "wrmsr",
	[KVM_EXIT_X86_BUS_LOCK] = "bus_lock",
	[KVM_EXIT_NOTIFY] = "notify",
};

const char *vcpu_exit_name(unsigned reason)
{
	return reason < sizeof(exit_names) / sizeof(exit_names[0]) ? exit_names[reason] : NULL;
}

static void exit_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Gives the guest the @length bytes for its pending read. */
static void answer_read(struct vcpu *vcpu, void *destination, const void *data, size_t length)
{
	int status;

	if (!vcpu->symbiotic) {
		memcpy(destination, data, length);
		return;
	}
	status = sym_vcpu_answer(vcpu->symbiotic, data, length);
	if (status < 0)
		log_limited(&vcpu->vm->log, LOG_LEVEL_WARN, "vCPU %u: read not answered: %s",
			    vcpu->id, strerror(-status));
}

static void handle_pio(struct vcpu *vcpu, struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	bool is_write = run->io.direction == KVM_EXIT_IO_OUT;
	size_t length = (size_t)run->io.size * run->io.count;
	uint16_t port = run->io.port;
	uint8_t copy[4096]; /* KVM's pio page: the most that one exit carries */
	bool taken = true;

	if (length > sizeof(copy))
		return;
	exit_count(is_write ? &vcpu->counters.pio_writes : &vcpu->counters.pio_reads);
	atomic_store_explicit(&vcpu->counters.last_address, port, memory_order_relaxed);
	if (is_write)
		memcpy(copy, data, length);
	for (size_t at = 0; at < length; at += run->io.size)
		taken &= bus_dispatch(&vcpu->vm->pio, port, copy + at, run->io.size, is_write);
	if (!taken)
		exit_count(&vcpu->counters.unclaimed);
	if (!is_write)
		answer_read(vcpu, data, copy, length);
}

static void handle_mmio(struct vcpu *vcpu, struct kvm_run *run)
{
	bool is_write = run->mmio.is_write;
	unsigned length = run->mmio.len;
	uint8_t copy[sizeof(run->mmio.data)];

	if (length == 0 || length > sizeof(copy))
		return;
	exit_count(is_write ? &vcpu->counters.mmio_writes : &vcpu->counters.mmio_reads);
	atomic_store_explicit(&vcpu->counters.last_address, run->mmio.phys_addr,
			      memory_order_relaxed);
	memcpy(copy, run->mmio.data, sizeof(copy));
	if (!bus_dispatch(&vcpu->vm->mmio, run->mmio.phys_addr, copy, length, is_write))
		exit_count(&vcpu->counters.unclaimed);
	if (!is_write)
		answer_read(vcpu, run->mmio.data, copy, length);
}

/* An MSR that neither KVM nor the symbiotic interface knows: #GP, as on hardware. */
static void handle_msr(struct vcpu *vcpu, struct kvm_run *run)
{
	if (!vcpu->symbiotic || sym_vcpu_answer_fault(vcpu->symbiotic) < 0)
		run->msr.error = 1;
}

static int handle_system_event(struct vcpu *vcpu, struct kvm_run *run)
{
	switch (run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(vcpu->vm, VM_END_POWEROFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_request_reset(vcpu->vm);
		break;
	default:
		log_error(&vcpu->vm->log, "vCPU %u: system event %u", vcpu->id,
			  run->system_event.type);
		vm_end(vcpu->vm, VM_END_CRASH);
		break;
	}
	return -ESHUTDOWN;
}

/* The guest cannot continue: logs everything that KVM said, and ends the VM. */
static int handle_fatal(struct vcpu *vcpu, struct kvm_run *run)
{
	const char *name = vcpu_exit_name(run->exit_reason);
	struct log *log = &vcpu->vm->log;

	if (run->exit_reason == KVM_EXIT_SHUTDOWN)
		log_error(log, "vCPU %u: the guest crashed (triple fault)%s", vcpu->id,
			  vcpu->vm->config.on_triple_fault == VM_TRIPLE_FAULT_ANNOUNCED
				  ? "; --on-triple-fault reset treats that as a reboot"
				  : "");
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		log_error(log, "vCPU %u: guest entry failed, hardware reason 0x%llx", vcpu->id,
			  (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		log_error(log, "vCPU %u: KVM internal error, suberror %u", vcpu->id,
			  run->internal.suberror);
	else if (run->exit_reason == KVM_EXIT_NOTIFY)
		log_error(log,
			  "vCPU %u: the guest kept its CPU from all events, and lost its state",
			  vcpu->id);
	else
		log_error(log, "vCPU %u: exit %u (%s) is not supported", vcpu->id, run->exit_reason,
			  name ? name : "unknown");
	vm_end(vcpu->vm, VM_END_CRASH);
	return -ESHUTDOWN;
}

/* Hardware resets then, and some kernels use that to reboot on purpose. */
static int handle_triple_fault(struct vcpu *vcpu, struct kvm_run *run)
{
	struct vm *vm = vcpu->vm;
	enum vm_triple_fault what = vm->config.on_triple_fault;

	if (what == VM_TRIPLE_FAULT_CRASH ||
	    (what == VM_TRIPLE_FAULT_ANNOUNCED && !boot_reset_announced(vm)))
		return handle_fatal(vcpu, run);
	vm_request_reset(vm);
	return -ESHUTDOWN;
}

int vcpu_service_exit(struct vcpu *vcpu, struct kvm_run *run)
{
	unsigned reason = run->exit_reason;

	exit_count(&vcpu->counters.exits[reason < VCPU_EXIT_KINDS ? reason : VCPU_EXIT_KINDS - 1]);
	atomic_store_explicit(&vcpu->counters.last_reason, reason, memory_order_relaxed);
	host_guard_on_exit(vcpu, run);
	if (exit_is_observed(&vcpu->vm->exit_observers, reason))
		exit_observers_show(&vcpu->vm->exit_observers, vcpu, run);
	switch (reason) {
	case KVM_EXIT_IO:
		handle_pio(vcpu, run);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu, run);
		break;
	case KVM_EXIT_X86_RDMSR:
	case KVM_EXIT_X86_WRMSR:
		handle_msr(vcpu, run);
		break;
	case KVM_EXIT_HYPERCALL:
		run->hypercall.ret = (uint64_t)-ENOSYS;
		break;
	case KVM_EXIT_HLT:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR:
	case KVM_EXIT_INTR:
	case KVM_EXIT_DEBUG:
	case KVM_EXIT_X86_BUS_LOCK:
		break;
	case KVM_EXIT_NOTIFY:
		if (!host_guard_can_continue(run))
			return handle_fatal(vcpu, run);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		return handle_system_event(vcpu, run);
	case KVM_EXIT_SHUTDOWN:
		return handle_triple_fault(vcpu, run);
	default:
		return handle_fatal(vcpu, run);
	}
	/*
	 * A device may have ended or reset the VM: its guest must not execute another instruction.
	 */
	return vcpu_must_stop(vcpu) ? -ESHUTDOWN : 0;
}
