// SPDX-License-Identifier: BSD-2-Clause
/*
 * Reads a vCPU's registers when it was created, and writes them back at a reset.
 *
 * KVM lists the MSRs that it saves, but not the memory type registers, so those are added. Some
 * listed MSRs cannot be read on this host and are left out. MSRs are read in batches and written
 * one by one, because a read-only one must not keep the rest from being set. The order of the
 * writes matters: the SREGS come first.
 */
#include "machine/vcpu_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine/vcpu.h"
#include "machine/vm.h"

#define MSR_IA32_TSC	     0x10u
#define MSR_MTRR_PHYS_BASE0  0x200u
#define MSR_MTRR_PHYS_MASK0  0x201u
#define MSR_MTRR_DEF_TYPE    0x2ffu
#define MTRR_DEF_ENABLE	     0x800u
#define MTRR_TYPE_WRITE_BACK 6u
#define MTRR_TYPE_UNCACHED   0u
#define MTRR_MASK_VALID	     0x800u
#define MSRS_MAX	     640u
#define MSRS_BATCH	     128u /* KVM refuses 256 and more in one call (MAX_IO_MSRS) */

struct msr_list {
	struct kvm_msrs header;
	struct kvm_msr_entry entries[MSRS_MAX];
};

struct vcpu_power_on {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
	struct kvm_xsave *xsave; /* NULL on a host without XSAVE; its size is KVM's */
	struct msr_list msrs;
};

struct chip_power_on {
	struct kvm_irqchip chips[3];
	struct kvm_pit_state2 pit;
};

/* Write-back by default: memremap(MEMREMAP_WB) of windows beyond RAM depends on it. */
static int mtrr_set(struct vcpu *vcpu)
{
	uint64_t width_mask = (1ull << vcpu->vm->physical_bits) - 1;
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entries[3];
	} msrs = {.header.nmsrs = 3};

	msrs.entries[0].index = MSR_MTRR_PHYS_BASE0;
	msrs.entries[0].data = MEMORY_HOLE_START | MTRR_TYPE_UNCACHED;
	msrs.entries[1].index = MSR_MTRR_PHYS_MASK0;
	msrs.entries[1].data = (~(MEMORY_HOLE_END - MEMORY_HOLE_START - 1) & width_mask) |
			       MTRR_MASK_VALID;
	msrs.entries[2].index = MSR_MTRR_DEF_TYPE;
	msrs.entries[2].data = MTRR_DEF_ENABLE | MTRR_TYPE_WRITE_BACK;
	if (ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) != 3)
		return -EIO;
	return 0;
}

/*
 * The memory type registers, which KVM does not list: the variable ranges, the fixed ones, the
 * default. SDM vol. 3 table 12-8 and 12-9.
 */
static const struct {
	uint32_t first, last;
} unlisted_msrs[] = {
	{0x200, 0x20f}, {0x250, 0x250}, {0x258, 0x259}, {0x268, 0x26f}, {0x2ff, 0x2ff},
};

struct msr_indices {
	struct kvm_msr_list header;
	uint32_t indices[MSRS_MAX];
};

/* The MSRs that KVM says it saves, and those that it does not list. */
static int msrs_find(struct vcpu *vcpu, struct msr_indices *known)
{
	known->header.nmsrs = MSRS_MAX;
	if (ioctl(vcpu->vm->kvm_fd, KVM_GET_MSR_INDEX_LIST, known) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(unlisted_msrs) / sizeof(unlisted_msrs[0]); i++)
		for (uint32_t msr = unlisted_msrs[i].first; msr <= unlisted_msrs[i].last; msr++) {
			if (known->header.nmsrs >= MSRS_MAX)
				return -E2BIG;
			known->indices[known->header.nmsrs++] = msr;
		}
	return 0;
}

/* All of them, except those that this KVM cannot read. */
static int msrs_read(struct vcpu *vcpu, struct msr_list *list)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entries[MSRS_BATCH];
	} batch;
	struct msr_indices known;
	uint32_t from = 0;
	int count = msrs_find(vcpu, &known);

	list->header.nmsrs = 0;
	while (count >= 0 && from < known.header.nmsrs) {
		uint32_t left = known.header.nmsrs - from;

		memset(&batch, 0, sizeof(batch));
		batch.header.nmsrs = left < MSRS_BATCH ? left : MSRS_BATCH;
		for (uint32_t i = 0; i < batch.header.nmsrs; i++)
			batch.entries[i].index = known.indices[from + i];
		count = ioctl(vcpu->fd, KVM_GET_MSRS, &batch);
		if (count < 0)
			return -errno;
		memcpy(&list->entries[list->header.nmsrs], batch.entries,
		       (size_t)count * sizeof(batch.entries[0]));
		list->header.nmsrs += (uint32_t)count;
		/* Skips the one that failed, if one did. */
		from += (uint32_t)count + ((uint32_t)count < batch.header.nmsrs);
	}
	return count < 0 ? count : 0;
}

static int msrs_write(struct vcpu *vcpu, const struct msr_list *list)
{
	struct {
		struct kvm_msrs header;
		struct kvm_msr_entry entry;
	} one = {.header.nmsrs = 1};

	/* One by one: read-only ones fail, and must not keep the rest from being set. */
	for (uint32_t i = 0; i < list->header.nmsrs; i++) {
		one.entry = list->entries[i];
		if (one.entry.index == MSR_IA32_TSC)
			continue; /* several vCPUs' counters would drift apart */
		if (ioctl(vcpu->fd, KVM_SET_MSRS, &one) < 0)
			return -errno;
	}
	return 0;
}

/*
 * The size of the extended state (AVX, AVX-512, AMX, PKRU) is that of KVM_CAP_XSAVE2; before Linux
 * 5.17 it is one struct kvm_xsave.
 */
static int xsave_read(struct vcpu *vcpu, struct kvm_xsave **out)
{
	int size = ioctl(vcpu->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	unsigned long request = size > 0 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;

	if (size <= 0 && ioctl(vcpu->vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE) <= 0)
		return 0;
	*out = calloc(1, size > (int)sizeof(**out) ? (size_t)size : sizeof(**out));
	if (!*out)
		return -ENOMEM;
	return ioctl(vcpu->fd, request, *out) < 0 ? -errno : 0;
}

int vcpu_state_capture(struct vcpu *vcpu, struct vcpu_power_on **out, struct error *err)
{
	struct vcpu_power_on *state = calloc(1, sizeof(*state));
	int status;

	if (!state)
		return error_set(err, -ENOMEM, "vCPU %u: out of memory", vcpu->id);
	status = mtrr_set(vcpu);
	if (status < 0) {
		free(state);
		return error_set_errno(err, status, "vCPU %u: cannot set the MTRRs", vcpu->id);
	}
	if (ioctl(vcpu->fd, KVM_GET_REGS, &state->regs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_SREGS, &state->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_FPU, &state->fpu) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_XCRS, &state->xcrs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_DEBUGREGS, &state->debugregs) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &state->events) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_MP_STATE, &state->mp_state) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_LAPIC, &state->lapic) < 0)
		status = -errno;
	else
		status = msrs_read(vcpu, &state->msrs);
	if (status == 0)
		status = xsave_read(vcpu, &state->xsave);
	if (status < 0) {
		vcpu_state_free(state);
		return error_set_errno(err, status, "vCPU %u: cannot read its state", vcpu->id);
	}
	*out = state;
	return 0;
}

int vcpu_state_restore(struct vcpu *vcpu, const struct vcpu_power_on *state)
{
	/* SREGS first: they leave long mode and set the APIC base that the LAPIC needs. */
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &state->sregs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_REGS, &state->regs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_FPU, &state->fpu) < 0 ||
	    (state->xsave && ioctl(vcpu->fd, KVM_SET_XSAVE, state->xsave) < 0) ||
	    /* None were read on a host without XSAVE, and setting them there is -EINVAL. */
	    (state->xcrs.nr_xcrs && ioctl(vcpu->fd, KVM_SET_XCRS, &state->xcrs) < 0) ||
	    ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &state->debugregs) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_LAPIC, &state->lapic) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &state->events) < 0 ||
	    ioctl(vcpu->fd, KVM_SET_MP_STATE, &state->mp_state) < 0)
		return -errno;
	return msrs_write(vcpu, &state->msrs);
}

void vcpu_state_free(struct vcpu_power_on *state)
{
	if (state)
		free(state->xsave);
	free(state);
}

int chip_state_capture(struct vm *vm, struct chip_power_on **out, struct error *err)
{
	struct chip_power_on *state = calloc(1, sizeof(*state));

	if (!state)
		return error_set(err, -ENOMEM, "irqchip: out of memory");
	for (unsigned i = 0; i < 3; i++) {
		state->chips[i].chip_id = i;
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &state->chips[i]) < 0)
			goto failed;
	}
	if (ioctl(vm->fd, KVM_GET_PIT2, &state->pit) < 0)
		goto failed;
	*out = state;
	return 0;
failed:
	free(state);
	return error_set_errno(err, -errno, "irqchip: cannot read its state");
}

int chip_state_restore(struct vm *vm, const struct chip_power_on *state)
{
	struct kvm_irqchip chip;

	for (unsigned i = 0; i < 3; i++) {
		chip = state->chips[i];
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &chip) < 0)
			return -errno;
	}
	return ioctl(vm->fd, KVM_SET_PIT2, &state->pit) < 0 ? -errno : 0;
}

void chip_state_free(struct chip_power_on *state)
{
	free(state);
}
