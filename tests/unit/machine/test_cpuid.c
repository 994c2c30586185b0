// SPDX-License-Identifier: BSD-2-Clause
/* CPUID on hosts that this project does not have: tables as KVM gives them there. */
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
#include <symbiotic/symcall.h>

#include "machine/cpuid.h"
#include "machine/vm.h"

/* Intel under Linux 6.18 and later: CET, FRED, and both topology leaves with one sub-leaf. */
static const struct kvm_cpuid_entry2 intel[] = {
	{.function = 0, .eax = 0x23},
	{.function = 1, .ecx = 1u << 5},
	{.function = 7, .index = 0, .eax = 2, .ecx = ~0u, .edx = ~0u},
	{.function = 7, .index = 1, .eax = ~0u, .edx = ~0u},
	{.function = 0xb, .index = 0},
	{.function = 0xd, .index = 0, .eax = 7},
	{.function = 0xd, .index = 1, .eax = 0xf, .ecx = 0x1900},
	{.function = 0xd, .index = 11, .eax = 16, .ecx = 1},
	{.function = 0xd, .index = 12, .eax = 24, .ecx = 1},
	{.function = 0x1f, .index = 0},
	{.function = 0x80000008, .eax = 0x302e},
};

/* AMD: no leaf 0xb, the newest form of it, SVM, and fewer bits for guests than for the host. */
static const struct kvm_cpuid_entry2 amd[] = {
	{.function = 0, .eax = 0x10},
	{.function = 1},
	{.function = 0x80000001, .ecx = 1u << 2},
	{.function = 0x80000008, .eax = 0x303034},
	{.function = 0x80000026, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100},
};

static struct {
	const struct kvm_cpuid_entry2 *entries;
	size_t count;
} host;

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	struct kvm_cpuid2 *table;

	if (request != KVM_GET_SUPPORTED_CPUID)
		return 0;
	va_start(arguments, request);
	table = va_arg(arguments, struct kvm_cpuid2 *);
	va_end(arguments);
	assert_true(table->nent >= host.count);
	memcpy(table->entries, host.entries, host.count * sizeof(host.entries[0]));
	table->nent = (uint32_t)host.count;
	return 0;
}

/* Stands in for libsymcall, which has tests of its own. */
int sym_vm_cpuid_extend(const struct sym_vm *vm, struct kvm_cpuid2 *cpuid, size_t max_entries)
{
	return 0;
}

static struct kvm_cpuid2 *build(struct vm *vm, const struct kvm_cpuid_entry2 *entries, size_t count,
				unsigned id)
{
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) +
						     CPUID_ENTRIES_MAX * sizeof(table->entries[0]));
	struct error err;

	host.entries = entries;
	host.count = count;
	assert_non_null(table);
	assert_int_equal(cpuid_build(vm, id, table, &err), 0);
	return table;
}
#define BUILD(vm, entries, id) build(vm, entries, sizeof(entries) / sizeof(entries[0]), id)

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *table, uint32_t function,
					   uint32_t index)
{
	const struct kvm_cpuid_entry2 *found = NULL;

	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entries[i].function == function && table->entries[i].index == index) {
			assert_null(found); /* KVM takes the first of two */
			found = &table->entries[i];
		}
	return found;
}

static void calls_can_enter_what_is_offered(void **state)
{
	struct vm vm = {.config.cpus = 4, .symbiotic = (struct sym_vm *)&vm};
	struct kvm_cpuid2 *table = BUILD(&vm, intel, 0);

	assert_int_equal(find(table, 7, 0)->ecx, ~(1u << 7));
	assert_int_equal(find(table, 7, 0)->edx, ~(1u << 20));
	assert_int_equal(find(table, 7, 1)->eax, ~(1u << 17 | 1u << 18));
	assert_int_equal(find(table, 7, 1)->edx, ~(1u << 18));
	assert_int_equal(find(table, 0xd, 1)->ecx, 0x100); /* PT is left */
	assert_int_equal(find(table, 0xd, 11)->eax, 0);
	assert_int_equal(find(table, 0xd, 12)->eax, 0);
	assert_int_equal(find(table, 0xd, 0)->eax, 7);
	free(table);
}

static void without_calls_nothing_is_hidden(void **state)
{
	struct vm vm = {.config.cpus = 4};
	struct kvm_cpuid2 *table = BUILD(&vm, intel, 0);

	assert_int_equal(find(table, 7, 0)->ecx, ~0u);
	assert_int_equal(find(table, 7, 0)->edx, ~0u);
	assert_int_equal(find(table, 7, 1)->eax, ~0u);
	assert_int_equal(find(table, 0xd, 12)->eax, 24);
	assert_int_equal(find(table, 1, 0)->ecx & 1u << 5, 0); /* VMX always is */
	free(table);
}

/* As Linux reads it: level type in ECX[15:8], APIC ID bits in EAX, none where EBX is 0. */
static void whole_topology(const struct kvm_cpuid2 *table, uint32_t function, unsigned id)
{
	const struct kvm_cpuid_entry2 *smt = find(table, function, 0);
	const struct kvm_cpuid_entry2 *core = find(table, function, 1);
	const struct kvm_cpuid_entry2 *end = find(table, function, 2);

	assert_non_null(smt);
	assert_non_null(core);
	assert_non_null(end);
	assert_int_equal(smt->ecx, 0x100);
	assert_int_equal(smt->eax, 0);
	assert_int_equal(smt->ebx, 1);
	assert_int_equal(core->ecx, 0x201);
	assert_int_equal(core->eax, 3); /* six cores take three bits */
	assert_int_equal(core->ebx, 6);
	assert_int_equal(end->ecx, 2);
	assert_int_equal(end->ebx, 0);
	assert_int_equal(smt->edx, id);
	assert_int_equal(core->edx, id);
	assert_int_equal(core->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			 KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
}

static void all_cores_are_one_package(void **state)
{
	struct vm vm = {.config.cpus = 6};
	struct kvm_cpuid2 *table = BUILD(&vm, intel, 5);

	whole_topology(table, 0xb, 5);
	whole_topology(table, 0x1f, 5);
	free(table);
	table = BUILD(&vm, amd, 3);
	whole_topology(table, 0xb, 3);
	assert_null(find(table, 0x1f, 0)); /* beyond leaf 0's highest */
	assert_int_equal(find(table, 0x80000026, 0)->ebx, 0);
	assert_int_equal(find(table, 0x80000026, 0)->ecx, 0);
	free(table);
}

static void the_guests_addresses_are_its_tables(void **state)
{
	static const struct kvm_cpuid_entry2 none[] = {{.function = 0, .eax = 1}};
	struct vm vm = {.config.cpus = 1};

	free(BUILD(&vm, intel, 0));
	assert_int_equal(vm.physical_bits, 46);
	free(BUILD(&vm, amd, 0));
	assert_int_equal(vm.physical_bits, 48); /* of the host's 52 */
	free(BUILD(&vm, none, 0));
	assert_int_equal(vm.physical_bits, 36);
}

static void a_table_without_room_is_refused(void **state)
{
	static struct kvm_cpuid_entry2 full[CPUID_ENTRIES_MAX];
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) +
						     CPUID_ENTRIES_MAX * sizeof(table->entries[0]));
	struct vm vm = {.config.cpus = 1};
	struct error err = {0};

	for (unsigned i = 0; i < CPUID_ENTRIES_MAX; i++)
		full[i].function = 0x90000000 + i;
	full[0] = (struct kvm_cpuid_entry2){.function = 0, .eax = 0x1f};
	host.entries = full;
	host.count = CPUID_ENTRIES_MAX;
	assert_int_equal(cpuid_build(&vm, 0, table, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "256"));
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_can_enter_what_is_offered),
		cmocka_unit_test(without_calls_nothing_is_hidden),
		cmocka_unit_test(all_cores_are_one_package),
		cmocka_unit_test(the_guests_addresses_are_its_tables),
		cmocka_unit_test(a_table_without_room_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
