// SPDX-License-Identifier: BSD-2-Clause
/* The table of memslots gives libsymcall RAM, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "preload/memslots.h"

#define MIB (1ull << 20)

static void set(struct memslots *slots, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t size)
{
	const struct kvm_userspace_memory_region region = {.slot = slot,
							   .flags = flags,
							   .guest_phys_addr = gpa,
							   .memory_size = size,
							   .userspace_addr = 0x7f0000000000 + gpa};

	assert_int_equal(memslots_set(slots, &region), 0);
}

static void expect(struct memslots *slots, uint64_t gpa, uint64_t len, uint64_t hva)
{
	assert_int_equal((uintptr_t)memslots_translate(slots, gpa, len), hva);
}

static void gives_only_ranges_of_one_slot(void **state)
{
	struct memslots slots;

	memslots_init(&slots);
	set(&slots, 0, 0, 0, MIB);
	set(&slots, 1, 0, MIB, MIB);
	expect(&slots, 0, 1, 0x7f0000000000);
	expect(&slots, MIB - 1, 1, 0x7f0000000000 + MIB - 1);
	expect(&slots, MIB, MIB, 0x7f0000000000 + MIB);
	expect(&slots, MIB - 4, 8, 0); /* two slots may lie anywhere */
	expect(&slots, MIB, MIB + 1, 0);
	expect(&slots, 2 * MIB, 1, 0);
	expect(&slots, UINT64_MAX, 1, 0);
	expect(&slots, MIB, UINT64_MAX, 0);
	assert_int_equal(memslots_size(&slots), 2 * MIB);
	free(slots.list);
}

static void rom_and_the_smm_address_space_are_not_ram(void **state)
{
	struct memslots slots;

	memslots_init(&slots);
	set(&slots, 3, KVM_MEM_READONLY, 0, MIB);
	set(&slots, 1 << 16 | 4, 0, MIB, MIB);
	expect(&slots, 0, 1, 0);
	expect(&slots, MIB, 1, 0);
	assert_int_equal(memslots_size(&slots), 0);
	free(slots.list);
}

static void slots_move_and_go(void **state)
{
	struct memslots slots;

	memslots_init(&slots);
	for (uint32_t i = 0; i < 100; i++)
		set(&slots, i, 0, i * MIB, MIB);
	set(&slots, 7, 0, 200 * MIB, MIB);
	expect(&slots, 7 * MIB, 1, 0);
	expect(&slots, 200 * MIB, 1, 0x7f0000000000 + 200 * MIB);
	for (uint32_t i = 0; i < 99; i++)
		set(&slots, i, 0, 0, 0);
	set(&slots, 12345, 0, 0, 0); /* KVM refuses it; nothing happens */
	assert_int_equal(memslots_size(&slots), MIB);
	expect(&slots, 99 * MIB, MIB, 0x7f0000000000 + 99 * MIB);
	free(slots.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_only_ranges_of_one_slot),
		cmocka_unit_test(rom_and_the_smm_address_space_are_not_ram),
		cmocka_unit_test(slots_move_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
