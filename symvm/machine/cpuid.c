// SPDX-License-Identifier: BSD-2-Clause
#include "machine/cpuid.h"

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
#define ECX7_SHSTK	       (1u << 7)
#define EDX7_IBT	       (1u << 20)
#define EAX7_1_FRED	       (1u << 17)
#define EAX7_1_LKGS	       (1u << 18)
#define EDX7_1_CET_SSS	       (1u << 18)
#define XSTATE_CET_USER	       11u
#define XSTATE_CET_SUPERVISOR  12u
#define ECX80000001_CMP_LEGACY (1u << 1)
#define ECX80000001_SVM	       (1u << 2)
#define ECX80000001_TOPOEXT    (1u << 22)
#define PHYSICAL_BITS_DEFAULT  36u
#define CACHE_LEVEL(eax)       (((eax) >> 5) & 7)

struct topology {
	unsigned id;
	unsigned cpus;
	unsigned shift; /* bits of an APIC ID that number a core */
	bool deadline;	/* KVM has the TSC deadline timer */
	bool symbiotic; /* calls into the guest may be made */
};

static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

/* Leaves 4 and 0x8000001d: each core has its own L1 and L2, and all cores share the L3. */
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

static void leaf_1(const struct topology *topology, struct kvm_cpuid_entry2 *entry)
{
	entry->ebx &= 0x0000ffffu;
	entry->ebx |= topology->id << 24 | topology->cpus << 16;
	entry->ecx &= ~ECX1_VMX;
	entry->ecx |= ECX1_HYPERVISOR | ECX1_X2APIC;
	if (topology->deadline)
		entry->ecx |= ECX1_TSC_DEADLINE;
	if (topology->cpus > 1)
		entry->edx |= EDX1_HTT;
	else
		entry->edx &= ~EDX1_HTT;
}

/*
 * Calls cannot enter a guest that uses shadow stacks, indirect branch tracking or FRED: the engine
 * refuses each of them (libsymcall/admission.c). KVM has CET from Linux 6.18 on, and a kernel that
 * sees it turns it on at boot. SDM vol. 1 chapter 17; FRED specification, chapter 3.
 */
static void hide_what_calls_cannot_enter(struct kvm_cpuid_entry2 *entry)
{
	const uint32_t states = 1u << XSTATE_CET_USER | 1u << XSTATE_CET_SUPERVISOR;

	if (entry->function == 7 && entry->index == 0) {
		entry->ecx &= ~ECX7_SHSTK;
		entry->edx &= ~EDX7_IBT;
	} else if (entry->function == 7 && entry->index == 1) {
		entry->eax &= ~(EAX7_1_FRED | EAX7_1_LKGS);
		entry->edx &= ~EDX7_1_CET_SSS;
	} else if (entry->function == 0xd && entry->index == 1) {
		entry->ecx &= ~states; /* of IA32_XSS */
	} else if (entry->function == 0xd &&
		   (entry->index == XSTATE_CET_USER || entry->index == XSTATE_CET_SUPERVISOR)) {
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
	}
}

static void entry_adjust(const struct topology *topology, struct kvm_cpuid_entry2 *entry)
{
	switch (entry->function) {
	case 1:
		leaf_1(topology, entry);
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
		/* Nested guests are not part of the interface yet: the engine refuses them. */
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
	case 0x80000026: /* AMD's own form of leaf 0xb: guests then use that one */
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case 0x8000001e:
		entry->eax = topology->id;
		entry->ebx = topology->id; /* core, one thread each */
		entry->ecx = 0;		   /* node */
		break;
	}
}

static const struct kvm_cpuid_entry2 *entry_find(const struct kvm_cpuid2 *table, uint32_t function,
						 uint32_t index)
{
	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entries[i].function == function && table->entries[i].index == index)
			return &table->entries[i];
	return NULL;
}

/*
 * KVM gives only sub-leaf 0 of leaves 0xb and 0x1f, or on AMD none. Guests use the highest leaf
 * that has any contents, so each has to be complete: SMT, cores, and the end of the list.
 */
static int add_extended_topology(const struct topology *topology, struct kvm_cpuid2 *table,
				 uint32_t function)
{
	const struct kvm_cpuid_entry2 *basic = entry_find(table, 0, 0);

	if (basic && basic->eax < function)
		return 0;
	for (uint32_t index = 0; index < 3; index++) {
		struct kvm_cpuid_entry2 *entry;

		if (entry_find(table, function, index))
			continue;
		if (table->nent >= CPUID_ENTRIES_MAX)
			return -ENOSPC;
		entry = &table->entries[table->nent++];
		*entry = (struct kvm_cpuid_entry2){
			.function = function,
			.index = index,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		};
		extended_topology(topology, entry);
	}
	return 0;
}

/*
 * The addresses that the guest can use: fewer than its MAXPHYADDR if nested paging supports less.
 */
static unsigned physical_address_bits(const struct kvm_cpuid2 *table)
{
	const struct kvm_cpuid_entry2 *entry = entry_find(table, 0x80000008, 0);
	unsigned all = entry ? entry->eax & 0xff : 0;
	unsigned guest = entry ? entry->eax >> 16 & 0xff : 0;

	if (guest && guest < all)
		all = guest;
	return all ? all : PHYSICAL_BITS_DEFAULT;
}

int cpuid_build(struct vm *vm, unsigned id, struct kvm_cpuid2 *table, struct error *err)
{
	struct topology topology = {
		.id = id,
		.cpus = vm->config.cpus,
		.shift = bits_for(vm->config.cpus),
		.deadline = ioctl(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
		.symbiotic = vm->symbiotic != NULL,
	};
	int status;

	table->nent = CPUID_ENTRIES_MAX;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, table) < 0)
		return error_set_errno(err, -errno, "KVM_GET_SUPPORTED_CPUID");
	for (uint32_t i = 0; i < table->nent; i++) {
		entry_adjust(&topology, &table->entries[i]);
		if (topology.symbiotic)
			hide_what_calls_cannot_enter(&table->entries[i]);
	}
	status = add_extended_topology(&topology, table, 0xb);
	if (status == 0)
		status = add_extended_topology(&topology, table, 0x1f);
	if (status < 0)
		return error_set(err, status, "CPUID: more than %u entries", CPUID_ENTRIES_MAX);
	vm->physical_bits = physical_address_bits(table);
	if (vm->symbiotic) {
		status = sym_vm_cpuid_extend(vm->symbiotic, table, CPUID_ENTRIES_MAX);
		if (status < 0)
			return error_set_errno(err, status, "symbiotic CPUID leaves");
	}
	return 0;
}
