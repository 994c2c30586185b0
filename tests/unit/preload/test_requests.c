// SPDX-License-Identifier: BSD-2-Clause
/* Requests of the VMM reach KVM with the interface's part, and the VMM's own copy stays as it is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <symbiotic/symcall.h>

#include "preload/requests.h"

static void *no_ram(void *opaque, uint64_t gpa, uint64_t len)
{
	return NULL;
}

static int no_exit(void *vcpu, struct kvm_run *run)
{
	return 0;
}

static struct sym_vm *create_vm(void)
{
	static const struct sym_ops ops = {.translate = no_ram, .service_exit = no_exit};
	const struct sym_vm_config config = {
		.size = sizeof(config), .vm_fd = -1, .ops = &ops, .features = SYM_FEATURE_SYMCALL};
	struct sym_vm *vm = sym_vm_create(&config);

	assert_non_null(vm);
	return vm;
}

static void cpuid_list_gets_the_signature(void **state)
{
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + sizeof(list->entries[0]));
	struct sym_vm *vm = create_vm();
	struct kvm_cpuid2 *extended;
	bool found = false;

	list->nent = 1;
	list->entries[0].function = 0x80000008;
	list->entries[0].eax = 4711;
	assert_int_equal(request_extend_cpuid(vm, list, &extended), 0);
	assert_int_equal(list->nent, 1);
	assert_int_equal(extended->entries[0].eax, 4711);
	for (uint32_t i = 1; i < extended->nent; i++)
		found = found || (extended->entries[i].ebx == SYM_SIGNATURE_EBX &&
				  extended->entries[i].ecx == SYM_SIGNATURE_ECX &&
				  extended->entries[i].edx == SYM_SIGNATURE_EDX);
	assert_true(found);
	free(extended);
	free(list);
	sym_vm_destroy(vm);
}

static void cpuid_list_of_absurd_length_is_not_read(void **state)
{
	const struct kvm_cpuid2 list = {.nent = UINT32_MAX};
	struct sym_vm *vm = create_vm();
	struct kvm_cpuid2 *extended;

	assert_int_equal(request_extend_cpuid(vm, &list, &extended), -EINVAL);
	assert_null(extended);
	sym_vm_destroy(vm);
}

static void interface_comes_first_in_the_msr_filter(void **state)
{
	unsigned char denied[REQUEST_BITMAP_SIZE], theirs[8] = {0xff};
	struct kvm_msr_filter filter = {.flags = KVM_MSR_FILTER_DEFAULT_DENY}, extended;

	/* Their range has our MSRs, and allows them. */
	filter.ranges[0] = (struct kvm_msr_filter_range){
		.flags = KVM_MSR_FILTER_READ, .nmsrs = 8, .base = SYM_MSR_BASE, .bitmap = theirs};
	assert_int_equal(request_extend_msr_filter(&filter, denied, &extended), 0);
	assert_int_equal(extended.flags, KVM_MSR_FILTER_DEFAULT_DENY);
	assert_int_equal(extended.ranges[0].base, SYM_MSR_BASE);
	assert_int_equal(extended.ranges[0].nmsrs, SYM_MSR_COUNT);
	assert_int_equal(extended.ranges[0].flags, KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE);
	for (size_t i = 0; i < sizeof(denied); i++)
		assert_int_equal(extended.ranges[0].bitmap[i], 0);
	assert_memory_equal(&extended.ranges[1], &filter.ranges[0], sizeof(filter.ranges[0]));
	assert_ptr_equal(filter.ranges[0].bitmap, theirs);
}

static void full_msr_filter_is_refused(void **state)
{
	unsigned char denied[REQUEST_BITMAP_SIZE];
	struct kvm_msr_filter filter = {0}, extended;

	for (size_t i = 0; i < KVM_MSR_FILTER_MAX_RANGES; i++)
		filter.ranges[i].nmsrs = 1;
	assert_int_equal(request_extend_msr_filter(&filter, denied, &extended), -ENOSPC);
}

static void signal_mask_lets_the_kick_through(void **state)
{
	char theirs[REQUEST_MASK_SIZE] = {0}, copy[REQUEST_MASK_SIZE];
	struct kvm_signal_mask *mask = (struct kvm_signal_mask *)theirs;
	uint64_t set = UINT64_MAX;

	mask->len = 8;
	memcpy(mask->sigset, &set, 8);
	assert_int_equal(request_unblock_signal(mask, 45, copy), 0);
	memcpy(&set, ((struct kvm_signal_mask *)copy)->sigset, 8);
	assert_int_equal(set, ~(1ull << 44));
	mask->len = 16;
	assert_int_equal(request_unblock_signal(mask, 45, copy), -EINVAL);
}

static void expect_preload(const char *value, const char *rest)
{
	char out[128];

	assert_int_equal(request_drop_preload(value, "lib.so.0", out, strlen(value) + 1), 0);
	assert_string_equal(out, rest);
}

static void only_this_library_leaves_the_environment(void **state)
{
	char small[4];

	expect_preload("", "");
	expect_preload("lib.so.0", "");
	expect_preload("/a/b/lib.so.0", "");
	expect_preload("/x/other.so:/a/lib.so.0 /y/third.so", "/x/other.so:/y/third.so");
	expect_preload(" : /x/mylib.so.0:", "/x/mylib.so.0");
	expect_preload("/lib.so.0/other", "/lib.so.0/other");
	assert_int_equal(request_drop_preload("/x/other.so", "lib.so.0", small, sizeof(small)),
			 -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpuid_list_gets_the_signature),
		cmocka_unit_test(cpuid_list_of_absurd_length_is_not_read),
		cmocka_unit_test(interface_comes_first_in_the_msr_filter),
		cmocka_unit_test(full_msr_filter_is_refused),
		cmocka_unit_test(signal_mask_lets_the_kick_through),
		cmocka_unit_test(only_this_library_leaves_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
