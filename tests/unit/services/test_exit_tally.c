// SPDX-License-Identifier: BSD-2-Clause
/* The tally of exits: what is one row, the limits, and what is beyond them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "services/exit_tally.h"

static struct exit_tally *tally;
static struct guest_who who;
static struct exit_place place;

static int setup(void **state)
{
	tally = exit_tally_create();
	assert_non_null(tally);
	memset(&who, 0, sizeof(who));
	memset(&place, 0, sizeof(place));
	who.task.pid = 7;
	strcpy(who.task.comm, "dd");
	return 0;
}

static int teardown(void **state)
{
	exit_tally_destroy(tally);
	return 0;
}

static void stack_set(const char *text)
{
	who.has_stack = true;
	memcpy(who.stack.text, text, strlen(text));
	assert_int_equal(guest_stack_decode((int64_t)strlen(text), strlen(text), &who.stack), 0);
}

static void equal_causes_are_one_row(void **state)
{
	const struct exit_row *row;

	for (unsigned i = 0; i < 1000; i++) {
		who.task.cpu = i; /* of no interest */
		who.task.user_rsp = i;
		exit_tally_add(tally, &place, &who);
	}
	assert_int_equal(exit_tally_count(tally), 1);
	row = exit_tally_row(tally, 0);
	assert_int_equal(row->count, 1000);
	assert_true(row->known);
	assert_string_equal(row->task.comm, "dd");
	assert_null(row->stack);
	assert_int_equal(exit_tally_other(tally), 0);
}

/* Each member of the key makes another row. */
static void different_causes_are_different_rows(void **state)
{
	unsigned rows = 0;

#define DIFFERENT(change)                                          \
	do {                                                       \
		change;                                            \
		exit_tally_add(tally, &place, &who);               \
		assert_int_equal(exit_tally_count(tally), ++rows); \
		exit_tally_add(tally, &place, &who);               \
		assert_int_equal(exit_tally_count(tally), rows);   \
	} while (0)

	DIFFERENT(who.task.pid = 8);
	DIFFERENT(who.task.tgid = 9);
	DIFFERENT(who.task.start_ns = 10);
	DIFFERENT(who.task.user_rip = 11);
	DIFFERENT(strcpy(who.task.comm, "de"));
	DIFFERENT(strcpy(who.task.cgroup, "/a"));
	DIFFERENT(place.kind = EXIT_KIND_MMIO);
	DIFFERENT(place.address = 12);
	DIFFERENT(place.write = true);
	DIFFERENT(place.doorbell.queue = 1);
	DIFFERENT(strcpy(place.doorbell.device, "disk1"));
	DIFFERENT(stack_set("a\nb\n"));
	DIFFERENT(stack_set("a\nc\n"));
	/* An unknown cause is not one with pid 0. */
	exit_tally_add(tally, &place, NULL);
	assert_int_equal(exit_tally_count(tally), rows + 1);
	assert_false(exit_tally_row(tally, rows)->known);
}

static void bytes_behind_a_text_do_not_matter(void **state)
{
	exit_tally_add(tally, &place, &who);
	memset(who.task.comm + 3, 'x', sizeof(who.task.comm) - 4);
	exit_tally_add(tally, &place, &who);
	assert_int_equal(exit_tally_count(tally), 1);
}

static void rows_are_bounded(void **state)
{
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < EXIT_TALLY_ROWS + 100; i++) {
			who.task.pid = i;
			exit_tally_add(tally, &place, &who);
		}
	assert_int_equal(exit_tally_count(tally), EXIT_TALLY_ROWS);
	for (unsigned i = 0; i < EXIT_TALLY_ROWS; i++) {
		assert_int_equal(exit_tally_row(tally, i)->count, 2);
		assert_int_equal(exit_tally_row(tally, i)->task.pid, i);
	}
	assert_int_equal(exit_tally_other(tally), 200);
	/* Unknown causes have the same limit. */
	exit_tally_add(tally, &place, NULL);
	assert_int_equal(exit_tally_other(tally), 201);
}

/* Stacks as long as the guest can make them, each a different one. */
static void stacks_are_bounded(void **state)
{
	char text[SYM_MESSAGE_SIZE + 1];
	uint64_t sum = 0;
	unsigned rows;

	for (unsigned i = 0; i < EXIT_TALLY_ROWS; i++) {
		memset(text, 'f', sizeof(text) - 1);
		text[SYM_MESSAGE_SIZE] = '\0';
		snprintf(text, 16, "%08u", i);
		text[8] = '\n';
		stack_set(text);
		exit_tally_add(tally, &place, &who);
	}
	rows = exit_tally_count(tally);
	assert_in_range(rows, 100, EXIT_TALLY_STACKS / SYM_MESSAGE_SIZE);
	assert_int_equal(exit_tally_other(tally), EXIT_TALLY_ROWS - rows);
	for (unsigned i = 0; i < rows; i++) {
		const struct exit_row *row = exit_tally_row(tally, i);

		snprintf(text, 16, "%08u", i);
		assert_memory_equal(row->stack, text, 8);
		assert_int_equal(strlen(row->stack), SYM_MESSAGE_SIZE + 1);
		sum += row->count;
	}
	assert_int_equal(sum, rows);
	/* A stack that is there is still found. */
	memset(text, 'f', sizeof(text) - 1);
	memcpy(text, "00000000\n", 9);
	stack_set(text);
	exit_tally_add(tally, &place, &who);
	assert_int_equal(exit_tally_row(tally, 0)->count, 2);
}

static void most_empty_stacks_are_none(void **state)
{
	stack_set("");
	exit_tally_add(tally, &place, &who);
	assert_null(exit_tally_row(tally, 0)->stack);
	/* 256 frames of one byte are what a message can hold at most. */
	for (unsigned i = 0; i < GUEST_STACK_FRAMES * 2; i++)
		who.stack.text[i] = i % 2 ? '\n' : 'f';
	assert_int_equal(guest_stack_decode(512, 512, &who.stack), 0);
	exit_tally_add(tally, &place, &who);
	assert_int_equal(strlen(exit_tally_row(tally, 1)->stack), 512);
}

static void rows_are_sorted_by_their_count(void **state)
{
	for (unsigned i = 0; i < 50; i++)
		for (unsigned j = 0; j <= i % 10; j++) {
			who.task.pid = i;
			exit_tally_add(tally, &place, &who);
		}
	exit_tally_sort(tally);
	for (unsigned i = 1; i < 50; i++)
		assert_true(exit_tally_row(tally, i - 1)->count >= exit_tally_row(tally, i)->count);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(equal_causes_are_one_row),
		CASE(different_causes_are_different_rows),
		CASE(bytes_behind_a_text_do_not_matter),
		CASE(rows_are_bounded),
		CASE(stacks_are_bounded),
		CASE(most_empty_stacks_are_none),
		CASE(rows_are_sorted_by_their_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
