// SPDX-License-Identifier: BSD-2-Clause
/* Processes as a tree, from a list that a guest made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/ps_tree.h"

/* Each task of the tree as "PID@DEPTH ". */
static void expect(const char *list, const char *expected)
{
	json_t *tasks = json_loads(list, JSON_DECODE_ANY, NULL), *tree, *task;
	char text[512] = "", *at = text;
	size_t i;

	assert_non_null(tasks);
	tree = ps_tree(tasks);
	assert_int_equal(json_array_size(tree), json_array_size(tasks));
	json_array_foreach(tree, i, task)
		at += sprintf(at, "%d@%d ", (int)json_integer_value(json_object_get(task, "pid")),
			      (int)json_integer_value(json_object_get(task, "depth")));
	assert_string_equal(text, expected);
	json_decref(tree);
	json_decref(tasks);
}

static void children_follow_their_parent(void **state)
{
	expect("[]", "");
	expect("[{\"pid\":4,\"ppid\":3},{\"pid\":1,\"ppid\":0},{\"pid\":5,\"ppid\":1},"
	       "{\"pid\":3,\"ppid\":1},{\"pid\":2,\"ppid\":0},{\"pid\":6,\"ppid\":3}]",
	       "1@0 5@1 3@1 4@2 6@2 2@0 ");
}

static void a_task_without_a_parent_is_a_root(void **state)
{
	expect("[{\"pid\":4,\"ppid\":99},{\"pid\":5,\"ppid\":4},{\"pid\":6}]", "4@0 5@1 6@0 ");
}

static void a_thread_is_below_its_process(void **state)
{
	expect("[{\"pid\":4,\"tgid\":4,\"ppid\":1},{\"pid\":1,\"tgid\":1,\"ppid\":0},"
	       "{\"pid\":5,\"tgid\":4,\"ppid\":1},{\"pid\":7,\"tgid\":99,\"ppid\":5}]",
	       "1@0 4@1 5@2 7@3 ");
}

static void loops_have_an_end(void **state)
{
	expect("[{\"pid\":1,\"ppid\":1}]", "1@0 ");
	expect("[{\"pid\":1,\"ppid\":2},{\"pid\":2,\"ppid\":1}]", "1@0 2@1 ");
	expect("[{\"pid\":9,\"ppid\":2},{\"pid\":1,\"ppid\":3},{\"pid\":2,\"ppid\":1},"
	       "{\"pid\":3,\"ppid\":2},{\"pid\":8,\"ppid\":7}]",
	       "8@0 9@0 1@0 2@1 3@2 ");
}

static void one_number_may_come_twice(void **state)
{
	expect("[{\"pid\":1,\"ppid\":1},{\"pid\":1,\"ppid\":1},{\"pid\":2,\"ppid\":1}]",
	       "1@0 1@1 2@1 ");
}

static void anything_may_be_in_the_list(void **state)
{
	expect("[null,3,\"x\",[1],{\"pid\":\"1\",\"ppid\":[]},{\"pid\":-1,\"ppid\":-1}]",
	       "0@0 0@0 0@0 0@0 0@0 -1@0 ");
	assert_int_equal(json_array_size(NULL), 0);
}

/* The longest list of a guest, as one chain, and as one loop. */
static void a_chain_may_be_as_long_as_the_list(void **state)
{
	const json_int_t count = 32768;

	for (int loop = 0; loop < 2; loop++) {
		json_t *tasks = json_array(), *tree;

		for (json_int_t i = count; i > 0; i--)
			json_array_append_new(tasks, json_pack("{s:I, s:I}", "pid", i, "ppid",
							       i == 1 && loop ? count : i - 1));
		tree = ps_tree(tasks);
		assert_int_equal(json_array_size(tree), count);
		assert_int_equal(json_integer_value(json_object_get(
					 json_array_get(tree, (size_t)count - 1), "depth")),
				 count - 1);
		json_decref(tree);
		json_decref(tasks);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(children_follow_their_parent),
		cmocka_unit_test(a_task_without_a_parent_is_a_root),
		cmocka_unit_test(a_thread_is_below_its_process),
		cmocka_unit_test(loops_have_an_end),
		cmocka_unit_test(one_number_may_come_twice),
		cmocka_unit_test(anything_may_be_in_the_list),
		cmocka_unit_test(a_chain_may_be_as_long_as_the_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
