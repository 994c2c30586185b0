// SPDX-License-Identifier: BSD-2-Clause
/*
 * A reset restores all state that a guest can change, on hosts that the lab does not have:
 * extended state, memory types, many MSRs. An ioctl() with KVM's rules stands in for KVM.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "machine/vcpu_state.h"
#include "machine/vm.h"

#define KVM_MAX_IO_MSRS 256 /* the kernel's limit of one KVM_GET_MSRS */
#define LISTED		300u
#define FIRST_LISTED	0xc0010000u
#define UNREADABLE(msr) ((msr) == FIRST_LISTED + 127 || (msr) == FIRST_LISTED + 200)
#define XSAVE_SIZE	8192
#define XSTATE_AVX	576

static struct {
	uint64_t listed[LISTED];
	uint64_t mtrr[0x100]; /* 0x200 to 0x2ff */
	uint8_t xsave[XSAVE_SIZE];
	int xsave_size; /* 0: KVM before 5.17 */
	bool has_xsave;
	unsigned get_msrs;
} kvm;

static uint64_t *msr_find(uint32_t index)
{
	if (index >= FIRST_LISTED && index < FIRST_LISTED + LISTED && !UNREADABLE(index))
		return &kvm.listed[index - FIRST_LISTED];
	if (index >= 0x200 && index < 0x300)
		return &kvm.mtrr[index - 0x200];
	return NULL;
}

static int msr_list(struct kvm_msr_list *list)
{
	assert_true(list->nmsrs >= LISTED);
	list->nmsrs = LISTED;
	for (uint32_t i = 0; i < LISTED; i++)
		list->indices[i] = FIRST_LISTED + i;
	return 0;
}

static int msrs_get(struct kvm_msrs *msrs)
{
	kvm.get_msrs++;
	if (msrs->nmsrs >= KVM_MAX_IO_MSRS) {
		errno = E2BIG;
		return -1;
	}
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		uint64_t *value = msr_find(msrs->entries[i].index);

		if (!value)
			return (int)i;
		msrs->entries[i].data = *value;
	}
	return (int)msrs->nmsrs;
}

static int msrs_set(const struct kvm_msrs *msrs)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++) {
		uint64_t *value = msr_find(msrs->entries[i].index);

		if (!value)
			return (int)i;
		*value = msrs->entries[i].data;
	}
	return (int)msrs->nmsrs;
}

static int extension(unsigned long capability)
{
	if (capability == KVM_CAP_XSAVE2)
		return kvm.xsave_size;
	return capability == KVM_CAP_XSAVE && kvm.has_xsave;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *pointer;

	va_start(arguments, request);
	pointer = va_arg(arguments, void *);
	va_end(arguments);
	switch (request) {
	case KVM_CHECK_EXTENSION:
		return extension((unsigned long)pointer);
	case KVM_GET_MSR_INDEX_LIST:
		return msr_list(pointer);
	case KVM_GET_MSRS:
		return msrs_get(pointer);
	case KVM_SET_MSRS:
		return msrs_set(pointer);
	case KVM_GET_XSAVE2:
		assert_true(kvm.xsave_size > 0);
		memcpy(pointer, kvm.xsave, (size_t)kvm.xsave_size);
		return 0;
	case KVM_GET_XSAVE:
		assert_true(kvm.has_xsave && kvm.xsave_size == 0);
		memcpy(pointer, kvm.xsave, sizeof(struct kvm_xsave));
		return 0;
	case KVM_SET_XSAVE:
		assert_true(kvm.has_xsave);
		memcpy(kvm.xsave, pointer,
		       kvm.xsave_size ? (size_t)kvm.xsave_size : sizeof(struct kvm_xsave));
		return 0;
	}
	return 0;
}

static void fill(uint64_t value)
{
	for (uint32_t i = 0; i < LISTED; i++)
		kvm.listed[i] = value + i;
	memset(kvm.xsave, (int)value, sizeof(kvm.xsave));
}

static struct vcpu_power_on *capture(struct vcpu *vcpu)
{
	struct vcpu_power_on *power_on = NULL;
	struct error err;

	assert_int_equal(vcpu_state_capture(vcpu, &power_on, &err), 0);
	return power_on;
}

static void all_comes_back(void **state)
{
	struct vm vm = {.physical_bits = 46};
	struct vcpu vcpu = {.vm = &vm};
	struct vcpu_power_on *power_on;
	uint64_t mtrr[0x100];

	memset(&kvm, 0, sizeof(kvm));
	kvm.has_xsave = true;
	kvm.xsave_size = XSAVE_SIZE;
	fill(1000);
	kvm.mtrr[0x50] = 0x0606060606060606; /* MTRRfix64K_00000 */
	power_on = capture(&vcpu);
	assert_true(kvm.get_msrs >= 3);
	/* Write-back except in the PCI hole, and no bit beyond the guest's addresses. */
	assert_int_equal(kvm.mtrr[0xff], 0x806);
	assert_int_equal(kvm.mtrr[0], 0xc0000000);
	assert_int_equal(kvm.mtrr[1], 0x3fffc0000800);
	memcpy(mtrr, kvm.mtrr, sizeof(mtrr));
	fill(77);
	for (unsigned i = 0; i < 0x10; i++)
		kvm.mtrr[i] = 0;
	kvm.mtrr[0x50] = kvm.mtrr[0xff] = 0;
	assert_int_equal(vcpu_state_restore(&vcpu, power_on), 0);
	for (uint32_t i = 0; i < LISTED; i++)
		assert_int_equal(kvm.listed[i], UNREADABLE(FIRST_LISTED + i) ? 77 + i : 1000 + i);
	assert_memory_equal(kvm.mtrr, mtrr, sizeof(mtrr));
	assert_int_equal(kvm.xsave[XSTATE_AVX], (uint8_t)1000);
	assert_int_equal(kvm.xsave[XSAVE_SIZE - 1], (uint8_t)1000);
	vcpu_state_free(power_on);
}

static void older_hosts_have_less(void **state)
{
	struct vm vm = {.physical_bits = 40};
	struct vcpu vcpu = {.vm = &vm};
	struct vcpu_power_on *power_on;

	memset(&kvm, 0, sizeof(kvm));
	kvm.has_xsave = true;
	fill(5);
	power_on = capture(&vcpu);
	fill(6);
	assert_int_equal(vcpu_state_restore(&vcpu, power_on), 0);
	assert_int_equal(kvm.xsave[XSTATE_AVX], 5);
	assert_int_equal(kvm.xsave[4095], 5);
	assert_int_equal(kvm.xsave[4096], 6);
	vcpu_state_free(power_on);
	kvm.has_xsave = false; /* as in the lab: neither read nor set */
	power_on = capture(&vcpu);
	assert_int_equal(vcpu_state_restore(&vcpu, power_on), 0);
	vcpu_state_free(power_on);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_comes_back),
		cmocka_unit_test(older_hosts_have_less),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
