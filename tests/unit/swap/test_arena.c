// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "swap/store/arena.h"

#define OBJECTS 4000u

struct thing {
	uint32_t handle;
	size_t length;
};

static size_t length_of(unsigned i)
{
	return 1 + (i * 2654435761u >> 8) % ARENA_OBJECT_MAX;
}

static void check(struct arena *arena, const struct thing *thing, unsigned i)
{
	const uint8_t *data = arena_data(arena, thing->handle);

	for (size_t k = 0; k < thing->length; k++)
		assert_int_equal(data[k], (uint8_t)(i + k));
}

static void put(struct arena *arena, struct thing *thing, unsigned i)
{
	uint8_t *data;

	thing->length = length_of(i);
	thing->handle = arena_alloc(arena, thing->length, i, true);
	assert_int_not_equal(thing->handle, ARENA_NONE);
	data = arena_data(arena, thing->handle);
	for (size_t k = 0; k < thing->length; k++)
		data[k] = (uint8_t)(i + k);
}

static void test_objects_keep_apart(void **state)
{
	struct arena *arena = arena_create(64ull << 20);
	struct thing *things = calloc(OBJECTS, sizeof(*things));
	uint64_t bytes = 0;

	for (unsigned i = 0; i < OBJECTS; i++) {
		put(arena, &things[i], i);
		bytes += things[i].length;
	}
	assert_true(arena_pages(arena) * 4096 >= bytes);
	assert_true(arena_pages(arena) * 4096 < bytes * 5 / 4);
	for (unsigned i = 0; i < OBJECTS; i += 2)
		arena_free(arena, things[i].handle);
	for (unsigned i = 0; i < OBJECTS; i += 2)
		put(arena, &things[i], i);
	for (unsigned i = 0; i < OBJECTS; i++)
		check(arena, &things[i], i);
	for (unsigned i = 0; i < OBJECTS; i++)
		arena_free(arena, things[i].handle);
	assert_int_equal(arena_pages(arena), 0);
	free(things);
	arena_destroy(arena);
}

static void test_grows_only_where_it_may(void **state)
{
	struct arena *arena = arena_create(1 << 20);
	uint32_t first, second;

	assert_int_equal(arena_alloc(arena, 1000, 1, false), ARENA_NONE);
	first = arena_alloc(arena, 1000, 1, true);
	second = arena_alloc(arena, 1000, 2, false);
	assert_int_not_equal(second, ARENA_NONE);
	assert_int_equal(arena_alloc(arena, 3000, 3, false), ARENA_NONE);
	assert_int_equal(arena_oldest(arena, 0), 1);
	assert_int_equal(arena_oldest(arena, 1), 2);
	assert_int_equal(arena_oldest(arena, 2), ARENA_NONE);
	arena_free(arena, first);
	assert_int_equal(arena_oldest(arena, 0), 2);
	assert_int_equal(arena_pages(arena), ARENA_SLAB_PAGES);
	arena_free(arena, second);
	assert_int_equal(arena_pages(arena), 0);
	arena_destroy(arena);
}

static void test_ends_somewhere(void **state)
{
	struct arena *arena = arena_create(1 << 20);
	unsigned count = 0;

	while (arena_alloc(arena, ARENA_OBJECT_MAX, count, true) != ARENA_NONE)
		assert_true(++count < 2000);
	assert_true(count >= (1 << 20) / 4096);
	arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_keep_apart),
		cmocka_unit_test(test_grows_only_where_it_may),
		cmocka_unit_test(test_ends_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
