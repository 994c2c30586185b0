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

/* As a VMM lays out 3 GiB + 1 GiB of one block with a hole for the screen, and a DIMM. */
static void only_the_block_of_gpa_0_is_kept(void **state)
{
	const uint64_t block = 0x7f0000000000, dimm = 0x7e0000000000, high = 4096 * MIB;
	const struct kvm_userspace_memory_region regions[] = {
		{.slot = 0, .memory_size = MIB / 2, .userspace_addr = block},
		{.slot = 1,
		 .guest_phys_addr = MIB,
		 .memory_size = 3071 * MIB,
		 .userspace_addr = block + MIB},
		{.slot = 2,
		 .guest_phys_addr = high,
		 .memory_size = 1024 * MIB,
		 .userspace_addr = block + 3072 * MIB},
		{.slot = 3,
		 .guest_phys_addr = 2 * high,
		 .memory_size = MIB,
		 .userspace_addr = dimm},
	};
	struct memslots slots;

	memslots_init(&slots);
	assert_null(memslots_translate_kept(&slots, 0, 4096));
	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
		assert_int_equal(memslots_set(&slots, &regions[i]), 0);
	assert_non_null(memslots_translate_kept(&slots, 0, 4096));
	assert_non_null(memslots_translate_kept(&slots, 2 * MIB, 4096));
	assert_int_equal((uintptr_t)memslots_translate_kept(&slots, high + 4096, 4096),
			 block + 3072 * MIB + 4096);
	assert_non_null(memslots_translate(&slots, 2 * high, 4096));
	assert_null(memslots_translate_kept(&slots, 2 * high, 4096));
	free(slots.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_only_ranges_of_one_slot),
		cmocka_unit_test(rom_and_the_smm_address_space_are_not_ram),
		cmocka_unit_test(slots_move_and_go),
		cmocka_unit_test(only_the_block_of_gpa_0_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
