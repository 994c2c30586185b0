/* SPDX-License-Identifier: BSD-2-Clause */
/* Discovery: the CPUID leaves of the interface. */
#include "internal.h"

static bool is_in_block(const struct kvm_cpuid_entry2 *entry, uint32_t block)
{
	return entry->function - block < SYM_CPUID_STEP;
}

static bool is_ours(const struct kvm_cpuid_entry2 *entry)
{
	return entry->ebx == SYM_SIGNATURE_EBX && entry->ecx == SYM_SIGNATURE_ECX &&
	       entry->edx == SYM_SIGNATURE_EDX;
}

/* The first leaf of the first block that has no entry; 0: none is free, or the leaves are there
 * already. */
static uint32_t find_free_block(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t block = SYM_CPUID_BASE; block <= SYM_CPUID_LAST; block += SYM_CPUID_STEP) {
		bool used = false;

		for (uint32_t i = 0; i < cpuid->nent && !used; i++)
			used = is_in_block(&cpuid->entries[i], block);
		if (!used)
			return block;
		for (uint32_t i = 0; i < cpuid->nent; i++)
			if (cpuid->entries[i].function == block && is_ours(&cpuid->entries[i]))
				return 0;
	}
	return 0;
}

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
	uint32_t block;

	if (!vm->offered)
		return 0;
	block = find_free_block(cpuid);
	if (!block)
		return -EEXIST;
	if (cpuid->nent + count > max_entries)
		return -ENOSPC;
	for (size_t i = 0; i < count; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[cpuid->nent++];

		*entry = leaves[i];
		entry->function += block - SYM_CPUID_BASE;
	}
	cpuid->entries[cpuid->nent - count].eax += block - SYM_CPUID_BASE;
	return 0;
}
