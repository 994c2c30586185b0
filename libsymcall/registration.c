/* SPDX-License-Identifier: BSD-2-Clause */
/* Registration: the MSRs of abi.h. */
#include "internal.h"

/* Canonical with five levels, which includes four. Enabling checks the paging in use. */
static bool canonical_any(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 7) >> 7) == address;
}

static bool upper_half(uint64_t address)
{
	return canonical_any(address) && (address >> 63);
}

static int write_guest(struct sym_vcpu *vcpu, uint64_t value)
{
	struct sym_vm *vm = vcpu->vm;
	uint32_t version = (uint32_t)(value >> 32);

	if (value && version >> 16 != SYM_ABI_MAJOR)
		return -EPROTONOSUPPORT;
	if (atomic_load(&vm->enabled_vcpus))
		return -EBUSY;
	atomic_store(&vm->guest_version, version);
	atomic_store(&vm->granted, (uint32_t)value & vm->offered);
	return 0;
}

static void set_enabled(struct sym_vcpu *vcpu, bool enabled)
{
	if (atomic_load(&vcpu->enabled) == enabled)
		return;
	atomic_store(&vcpu->enabled, enabled);
	atomic_fetch_add(&vcpu->vm->enabled_vcpus, enabled ? 1 : -1);
}

/* Checks the whole entry context against the page tables that the guest uses now. */
static int check_entry(struct sym_vcpu *vcpu)
{
	const struct sym_entry *entry = &vcpu->entry;
	struct kvm_sregs sregs;
	uint64_t gpa;
	uint32_t access;
	int error = sym_kvm_control(vcpu, KVM_GET_SREGS, &sregs);

	if (error)
		return error;
	if (!(sregs.cr0 & CR0_PG) || !(sregs.efer & EFER_LMA))
		return -EOPNOTSUPP;
	if (!(entry->segs & 0xfffc) || entry->block_start > entry->block_end ||
	    !sym_is_canonical(&sregs, entry->gs_base))
		return -EINVAL;
	sregs.cr3 &= ~entry->cr3_clear;
	error = sym_page_walk(vcpu->vm, &sregs, entry->rip, &gpa, &access);
	if (error)
		return error;
	/* An entry that user mode can reach, and perhaps write, is not the kernel's. */
	if (!(access & SYM_PAGE_WALK_EXEC) || (access & SYM_PAGE_WALK_USER))
		return -EACCES;
	error = sym_page_walk(vcpu->vm, &sregs, entry->rsp - 8, &gpa, &access);
	if (error)
		return error;
	return (access & SYM_PAGE_WALK_WRITE) && !(access & SYM_PAGE_WALK_USER) ? 0 : -EACCES;
}

static int write_control(struct sym_vcpu *vcpu, uint64_t value)
{
	int error;

	if (value & ~(SYM_CONTROL_ENABLE | SYM_CONTROL_LATCHED))
		return -EINVAL;
	if (!(value & SYM_CONTROL_ENABLE)) {
		set_enabled(vcpu, false);
		return 0;
	}
	if (atomic_load(&vcpu->enabled))
		return 0;
	if (sym_activity(vcpu) != SYM_IDLE)
		return -EBUSY;
	if (!(atomic_load(&vcpu->vm->granted) & SYM_FEATURE_SYMCALL))
		return -EPERM;
	error = check_entry(vcpu);
	if (error)
		return error;
	vcpu->return_rip = 0;
	atomic_store(&vcpu->latched, false);
	set_enabled(vcpu, true);
	return 0;
}

static int write_entry(struct sym_vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct sym_entry *entry = &vcpu->entry;

	if (atomic_load(&vcpu->enabled) || sym_activity(vcpu) != SYM_IDLE)
		return -EBUSY;
	switch (index) {
	case SYM_MSR_ENTRY_RIP:
		if (!upper_half(value))
			return -EFAULT;
		entry->rip = value;
		return 0;
	case SYM_MSR_ENTRY_RSP:
		if (!upper_half(value) || value & 7)
			return -EFAULT;
		entry->rsp = value;
		return 0;
	case SYM_MSR_ENTRY_GS_BASE:
		if (!canonical_any(value))
			return -EFAULT;
		entry->gs_base = value;
		return 0;
	case SYM_MSR_ENTRY_SEGS:
		if (value >> 32 || value & 0x00030003 || !(value & 0xfffc))
			return -EINVAL;
		entry->segs = value;
		return 0;
	case SYM_MSR_ENTRY_CR3:
		if (value & ~CR3_USER_BITS)
			return -EINVAL;
		entry->cr3_clear = value;
		return 0;
	case SYM_MSR_BLOCK_START:
		entry->block_start = value;
		return 0;
	default:
		entry->block_end = value;
		return 0;
	}
}

/* The guest's WRMSR to an MSR of the interface. 0, or the reason to refuse it (#GP). */
int sym_registration_write(struct sym_vcpu *vcpu, uint32_t index, uint64_t value)
{
	int error;

	switch (index) {
	case SYM_MSR_GUEST:
		error = write_guest(vcpu, value);
		break;
	case SYM_MSR_CONTROL:
		error = write_control(vcpu, value);
		break;
	case SYM_MSR_SPY_VM:
		error = sym_spy_set_vm(vcpu->vm, value);
		break;
	case SYM_MSR_SPY_VCPU:
		error = sym_spy_set_vcpu(vcpu, value);
		break;
	case SYM_MSR_STATUS:
		error = -EPERM;
		break;
	default:
		error = write_entry(vcpu, index, value);
		break;
	}
	vcpu->status = error;
	if (!error) {
		sym_count(vcpu, msr_writes);
		return 0;
	}
	sym_count(vcpu, msr_refused);
	sym_log(vcpu->vm, SYM_LOG_DEBUG,
		"vCPU %u: write of %#llx to symbiotic MSR %u refused: errno %d", vcpu->id,
		(unsigned long long)value, index, -error);
	return error;
}

int sym_registration_read(struct sym_vcpu *vcpu, uint32_t index, uint64_t *value)
{
	const struct sym_entry *entry = &vcpu->entry;
	struct sym_vm *vm = vcpu->vm;

	switch (index) {
	case SYM_MSR_GUEST:
		*value = (uint64_t)atomic_load(&vm->guest_version) << 32 |
			 atomic_load(&vm->granted);
		return 0;
	case SYM_MSR_CONTROL:
		*value = (atomic_load(&vcpu->enabled) ? SYM_CONTROL_ENABLE : 0) |
			 (atomic_load(&vcpu->latched) ? SYM_CONTROL_LATCHED : 0);
		return 0;
	case SYM_MSR_SPY_VM:
		pthread_mutex_lock(&vm->lock);
		*value = vm->spy_msr;
		pthread_mutex_unlock(&vm->lock);
		return 0;
	case SYM_MSR_SPY_VCPU:
		*value = vcpu->spy_msr;
		return 0;
	case SYM_MSR_STATUS:
		*value = (uint64_t)(int64_t)vcpu->status;
		return 0;
	case SYM_MSR_ENTRY_RIP:
		*value = entry->rip;
		return 0;
	case SYM_MSR_ENTRY_RSP:
		*value = entry->rsp;
		return 0;
	case SYM_MSR_ENTRY_GS_BASE:
		*value = entry->gs_base;
		return 0;
	case SYM_MSR_ENTRY_SEGS:
		*value = entry->segs;
		return 0;
	case SYM_MSR_ENTRY_CR3:
		*value = entry->cr3_clear;
		return 0;
	case SYM_MSR_BLOCK_START:
		*value = entry->block_start;
		return 0;
	case SYM_MSR_BLOCK_END:
		*value = entry->block_end;
		return 0;
	}
	return -EINVAL;
}

/* Forgets everything that the guest registered for this vCPU. */
void sym_registration_drop(struct sym_vcpu *vcpu)
{
	set_enabled(vcpu, false);
	atomic_store(&vcpu->latched, false);
	vcpu->entry = (struct sym_entry){0};
	vcpu->status = 0;
	vcpu->return_rip = 0;
	vcpu->safepoint_abandoned = false;
	sym_spy_set_vcpu(vcpu, 0);
}
