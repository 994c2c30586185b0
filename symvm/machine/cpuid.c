// SPDX-License-Identifier: BSD-2-Clause
#include "machine/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <symbiotic/symcall.h>

#include "machine/vm.h"

#define ECX1_VMX	       (1u << 5)
#define ECX1_X2APIC	       (1u << 21)
#define ECX1_TSC_DEADLINE      (1u << 24)
#define ECX1_HYPERVISOR	       (1u << 31)
#define EDX1_HTT	       (1u << 28)
#define ECX80000001_CMP_LEGACY (1u << 1)
#define ECX80000001_SVM	       (1u << 2)
#define ECX80000001_TOPOEXT    (1u << 22)
#define CACHE_LEVEL(eax)       (((eax) >> 5) & 7)

struct topology {
	unsigned id;
	unsigned cpus;
	unsigned shift; /* bits of an APIC ID that number a core */
};

static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

/* Leaves 4 and 0x8000001d: L1 and L2 belong to one core, L3 to all. */
static void cache_sharing(const struct topology *topology, struct kvm_cpuid_entry2 *entry)
{
	unsigned sharing = CACHE_LEVEL(entry->eax) >= 3 ? topology->cpus : 1;

	entry->eax &= ~(0xfffu << 14);
	entry->eax |= (sharing - 1) << 14;
	if (entry->function == 4) {
		entry->eax &= ~(0x3fu << 26);
		entry->eax |= ((1u << topology->shift) - 1) << 26;
	}
}

/* Leaves 0xb and 0x1f: one thread per core, then all cores of the socket. */
static void extended_topology(const struct topology *topology, struct kvm_cpuid_entry2 *entry)
{
	entry->edx = topology->id;
	entry->ecx = entry->index;
	entry->eax = 0;
	entry->ebx = 0;
	if (entry->index == 0) {
		entry->ebx = 1;
		entry->ecx |= 1u << 8; /* level type SMT */
	} else if (entry->index == 1) {
		entry->eax = topology->shift;
		entry->ebx = topology->cpus;
		entry->ecx |= 2u << 8; /* level type core */
	}
}

static void leaf_1(const struct topology *topology, struct kvm_cpuid_entry2 *entry, bool deadline)
{
	entry->ebx &= 0x0000ffffu;
	entry->ebx |= topology->id << 24 | topology->cpus << 16;
	entry->ecx &= ~ECX1_VMX;
	entry->ecx |= ECX1_HYPERVISOR | ECX1_X2APIC;
	if (deadline)
		entry->ecx |= ECX1_TSC_DEADLINE;
	if (topology->cpus > 1)
		entry->edx |= EDX1_HTT;
	else
		entry->edx &= ~EDX1_HTT;
}

static void adjust(const struct topology *topology, struct kvm_cpuid_entry2 *entry, bool deadline)
{
	switch (entry->function) {
	case 1:
		leaf_1(topology, entry, deadline);
		break;
	case 4:
	case 0x8000001d:
		cache_sharing(topology, entry);
		break;
	case 0xb:
	case 0x1f:
		extended_topology(topology, entry);
		break;
	case 0x80000001:
		/* Nested guests are no part of the interface yet: the engine refuses them. */
		entry->ecx &= ~ECX80000001_SVM;
		if (topology->cpus > 1)
			entry->ecx |= ECX80000001_CMP_LEGACY;
		else
			entry->ecx &= ~ECX80000001_CMP_LEGACY;
		break;
	case 0x80000008:
		entry->ecx &= ~0xf0ffu;
		entry->ecx |= topology->shift << 12 | (topology->cpus - 1);
		break;
	case 0x8000000a:
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case 0x8000001e:
		entry->eax = topology->id;
		entry->ebx = topology->id; /* core, one thread each */
		entry->ecx = 0;		   /* node */
		break;
	}
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *table, uint32_t function,
					   uint32_t index)
{
	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entries[i].function == function && table->entries[i].index == index)
			return &table->entries[i];
	return NULL;
}

/* KVM on AMD lists leaf 0xb only where the host has it; x2APIC guests want it. */
static void add_extended_topology(const struct topology *topology, struct kvm_cpuid2 *table)
{
	for (uint32_t index = 0; index < 3; index++) {
		struct kvm_cpuid_entry2 *entry;

		if (find(table, 0xb, index) || table->nent >= CPUID_ENTRIES_MAX)
			continue;
		if (index == 0 && find(table, 0, 0) && find(table, 0, 0)->eax < 0xb)
			return;
		entry = &table->entries[table->nent++];
		*entry = (struct kvm_cpuid_entry2){
			.function = 0xb,
			.index = index,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		};
		extended_topology(topology, entry);
	}
}

int cpuid_build(struct vm *vm, unsigned id, struct kvm_cpuid2 *table, struct error *err)
{
	struct topology topology = {
		.id = id,
		.cpus = vm->config.cpus,
		.shift = bits_for(vm->config.cpus),
	};
	bool deadline = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	int status;

	table->nent = CPUID_ENTRIES_MAX;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, table) < 0)
		return error_set_errno(err, -errno, "KVM_GET_SUPPORTED_CPUID");
	for (uint32_t i = 0; i < table->nent; i++)
		adjust(&topology, &table->entries[i], deadline);
	add_extended_topology(&topology, table);
	if (vm->symbiotic) {
		status = sym_vm_cpuid_extend(vm->symbiotic, table, CPUID_ENTRIES_MAX);
		if (status < 0)
			return error_set_errno(err, status, "symbiotic CPUID leaves");
	}
	return 0;
}

unsigned cpuid_physical_address_bits(void)
{
	unsigned eax, ebx, ecx, edx;

	if (!__get_cpuid(0x80000008, &eax, &ebx, &ecx, &edx))
		return 36;
	return (eax & 0xff) < 36 ? 36 : eax & 0xff;
}
