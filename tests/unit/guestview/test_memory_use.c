// SPDX-License-Identifier: BSD-2-Clause
/* The guest's memory and its cgroups: all fields, other lengths, a module that is too old. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_guest.h"
#include "libguestview/memory_use.h"

static struct fake_guest fake;
static struct guest_error err;

static int setup(void **state)
{
	fake_guest_init(&fake);
	memset(&err, 0, sizeof(err));
	return 0;
}

static void a_longer_message_of_a_newer_module_is_taken(void **state)
{
	struct {
		struct sym_memory known;
		uint8_t later[64];
	} raw = {.known = {.mem_total = 1, .refault_file = 2, .flags = SYM_MEMORY_PRESSURE}};
	const struct fake_answer answers[] = {{0, sizeof(raw), &raw, sizeof(raw)}};
	struct guest_memory_use memory;

	raw.known.pressure[SYM_PRESSURE_IO_FULL] = UINT32_MAX;
	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_memory_use(&fake.guest, &fake.limit, &memory, &err), 0);
	assert_int_equal(memory.values.mem_total, 1);
	assert_int_equal(memory.values.refault_file, 2);
	assert_int_equal(memory.values.pressure[SYM_PRESSURE_IO_FULL], UINT32_MAX);
	assert_true(memory.has_pressure);
}

static void other_lengths_and_refusals_are_named(void **state)
{
	static const uint8_t bytes[SYM_MESSAGE_SIZE + 1];
	const struct fake_answer old[] = {{0, -ENOSYS, NULL, 0}}, no[] = {{0, -EPERM, NULL, 0}};
	struct guest_memory_use memory;

	assert_int_equal(guest_memory_use_decode(bytes, 0, &memory), -EPROTO);
	assert_int_equal(guest_memory_use_decode(bytes, sizeof(struct sym_memory) - 1, &memory),
			 -EPROTO);
	assert_int_equal(guest_memory_use_decode(bytes, sizeof(bytes), &memory), -EPROTO);
	fake_guest_answers(&fake, old);
	assert_int_equal(guest_memory_use(&fake.guest, &fake.limit, &memory, &err), -EOPNOTSUPP);
	assert_string_equal(err.text, "the guest's module is too old to describe its memory");
	fake_guest_answers(&fake, no);
	assert_int_equal(guest_memory_use(&fake.guest, &fake.limit, &memory, &err), -EIO);
}

static void cgroups_are_bounded_and_their_paths_end(void **state)
{
	struct sym_cgroup raw[SYM_MESSAGE_SIZE / sizeof(struct sym_cgroup)];
	const struct fake_answer answers[] = {{.value = 7}, {0, sizeof(raw), raw, sizeof(raw)}};
	const struct fake_answer old[] = {{0, -ENOSYS, NULL, 0}};
	struct guest_cgroups list;

	memset(raw, 0xff, sizeof(raw));
	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_cgroups(&fake.guest, &fake.limit, 64, &list, &err), 0);
	assert_int_equal(list.count, GUEST_CGROUPS_MAX);
	assert_int_equal(strlen(list.cgroups[63].path), sizeof(raw[0].path));
	assert_true(list.cgroups[63].limit == UINT64_MAX);
	fake_guest_answers(&fake, answers);
	assert_int_equal(guest_cgroups(&fake.guest, &fake.limit, 3, &list, &err), 0);
	assert_int_equal(list.count, 3);
	fake_guest_answers(&fake, old);
	assert_int_equal(guest_cgroups(&fake.guest, &fake.limit, 3, &list, &err), -EOPNOTSUPP);
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_longer_message_of_a_newer_module_is_taken),
		CASE(other_lengths_and_refusals_are_named),
		CASE(cgroups_are_bounded_and_their_paths_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
