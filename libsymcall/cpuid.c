/* SPDX-License-Identifier: BSD-2-Clause */
/* Discovery: the CPUID leaves of the interface. */
#include "internal.h"

int sym_vm_cpuid_extend(const struct sym_vm *vm, struct kvm_cpuid2 *cpuid, size_t max_entries)
{
	const struct kvm_cpuid_entry2 leaves[] = {
		{.function = SYM_CPUID_BASE,
		 .eax = SYM_CPUID_MAX,
		 .ebx = SYM_SIGNATURE_EBX,
		 .ecx = SYM_SIGNATURE_ECX,
		 .edx = SYM_SIGNATURE_EDX},
		{.function = SYM_CPUID_INTERFACE,
		 .eax = SYM_ABI_VERSION,
		 .ebx = SYM_MSR_BASE,
		 .ecx = SYM_PORT_BASE,
		 .edx = vm->offered},
		{.function = SYM_CPUID_LIMITS,
		 .eax = vm->deadline_us,
		 .ebx = SYM_MESSAGE_SIZE,
		 .ecx = SYM_MSR_COUNT},
	};
	const size_t count = sizeof(leaves) / sizeof(leaves[0]);

	if (!vm->offered)
		return 0;
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function >= SYM_CPUID_BASE &&
		    cpuid->entries[i].function <= SYM_CPUID_MAX)
			return -EEXIST;
	if (cpuid->nent + count > max_entries)
		return -ENOSPC;
	for (size_t i = 0; i < count; i++)
		cpuid->entries[cpuid->nent++] = leaves[i];
	return 0;
}
