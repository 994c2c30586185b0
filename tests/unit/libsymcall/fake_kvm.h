/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU without KVM: the test program defines ioctl(). Registers follow KVM's rules for
 * synced registers. The test gives the results of KVM_RUN.
 */
#ifndef TESTS_UNIT_LIBSYMCALL_FAKE_KVM_H
#define TESTS_UNIT_LIBSYMCALL_FAKE_KVM_H

#include <stdbool.h>
#include <stdint.h>

#include <symbiotic/symcall.h>

#define FAKE_RAM_SIZE 0x40000u
#define FAKE_PML4     0x1000u /* maps RAM at 0 and at FAKE_HIGH */
#define FAKE_CODE     0x8000u
#define FAKE_STACK    0x9000u
#define FAKE_SPY_VM   0xa000u
#define FAKE_SPY_VCPU 0xb000u
#define FAKE_HIGH     0xffffffff80000000ull
#define FAKE_IO_DATA  8192 /* offset of PIO data behind kvm_run */

struct fake_kvm {
	struct kvm_run *run;
	uint8_t *ram;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	/* Fills kvm_run and gives KVM_RUN's result, 0 or -errno; registers are loaded then. */
	int (*next)(struct fake_kvm *fake, bool immediate);
	void *opaque;
	unsigned int runs, get_regs, get_sregs, get_mp_state, set_mp_state, others;
	unsigned long fail_request; /* this request fails with EIO */
	bool guest_mode_hidden;	    /* a host before Linux 6.11 */
	bool in_nested_guest;	    /* as KVM_GET_NESTED_STATE says */
	unsigned int get_nested_state;
};

extern struct fake_kvm *fake_kvm;

struct fake_kvm *fake_kvm_create(void);
void fake_kvm_destroy(struct fake_kvm *fake);
void *fake_translate(void *opaque, uint64_t gpa, uint64_t len);

/* Exits. */
int fake_exit_io(struct fake_kvm *fake, bool in, uint16_t port, uint8_t size, uint32_t count);
int fake_exit_msr(struct fake_kvm *fake, bool write, uint32_t index, uint64_t data);

/* Registers the guest with handler FAKE_HIGH + FAKE_CODE. 0 or the error of the refused step. */
int fake_register(struct fake_kvm *fake, struct sym_vcpu *vcpu);
int fake_wrmsr(struct fake_kvm *fake, struct sym_vcpu *vcpu, uint32_t index, uint64_t data);

#endif
