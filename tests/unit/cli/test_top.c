// SPDX-License-Identifier: BSD-2-Clause
/* What `symvm top` makes of two samples, which a VM made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/top_model.h"
#include "cli/top_rows.h"

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *value = json_loads(text, 0, &error);

	if (!value)
		fail_msg("%s: %s", error.text, text);
	return value;
}

/* The view of two samples; @before may be NULL. */
static json_t *view_of(const char *before, const char *after, enum top_order order, size_t tasks)
{
	json_t *old = before ? parse(before) : NULL, *now = parse(after);
	json_t *view = top_view(old, now, order, tasks);

	assert_non_null(view);
	json_decref(old);
	json_decref(now);
	return view;
}

/* The value at @path, a format of json_unpack(); fails without it. */
static double number_at(json_t *view, const char *object, const char *key)
{
	json_t *value = json_object_get(object ? json_object_get(view, object) : view, key);

	assert_true(json_is_number(value));
	return json_number_value(value);
}

static void expect_null(json_t *view, const char *object, const char *key)
{
	assert_true(
		json_is_null(json_object_get(object ? json_object_get(view, object) : view, key)));
}

#define BEFORE                                                                                    \
	"{\"ns\":1000000000,\"info\":{\"pid\":9,\"process\":{\"cpu_ns\":1000000000},"             \
	"\"vcpus\":[{\"id\":0,\"exits_total\":100,\"exits\":{\"io\":90,\"mmio\":10}},"            \
	"{\"id\":1,\"exits_total\":50,\"exits\":{\"io\":50}}],"                                   \
	"\"devices\":[{\"name\":\"disk0\",\"reads\":1,\"read_bytes\":1000},{\"name\":\"rtc\"}]}," \
	"\"memory_use\":{\"swap_in\":10,\"swap_out\":700},"                                       \
	"\"ps\":{\"tasks\":[{\"pid\":1,\"start_ns\":5,\"utime_ns\":0,\"stime_ns\":0},"            \
	"{\"pid\":2,\"start_ns\":6,\"utime_ns\":1000000000,\"stime_ns\":0}]}}"
#define AFTER                                                                                     \
	"{\"ns\":3000000000,\"info\":{\"pid\":9,\"process\":{\"cpu_ns\":2000000000},"             \
	"\"vcpus\":[{\"id\":0,\"exits_total\":300,\"exits\":{\"io\":270,\"mmio\":10,\"hlt\":20}}" \
	",{\"id\":1,\"exits_total\":40,\"exits\":{\"io\":40}}],"                                  \
	"\"devices\":[{\"name\":\"disk0\",\"reads\":5,\"read_bytes\":5000},{\"name\":\"rtc\"}]}," \
	"\"memory\":{\"host\":4096,\"size\":8192},"                                               \
	"\"memory_use\":{\"swap_in\":30,\"swap_out\":3},"                                         \
	"\"ps\":{\"tasks\":[{\"pid\":1,\"start_ns\":5,\"utime_ns\":0,\"stime_ns\":0,\"rss\":99}," \
	"{\"pid\":2,\"start_ns\":6,\"utime_ns\":1500000000,\"stime_ns\":500000000},"              \
	"{\"pid\":3,\"start_ns\":7,\"utime_ns\":200000000,\"stime_ns\":0}]}}"

static void rates_are_differences_per_second(void **state)
{
	json_t *view = view_of(BEFORE, AFTER, TOP_BY_CPU, 20), *device;

	assert_true(number_at(view, NULL, "seconds") == 2);
	assert_true(number_at(view, "host", "cpu_percent") == 50);
	assert_true(number_at(view, "host", "memory") == 4096);
	assert_true(number_at(view, "exits", "io") == 90);
	assert_true(number_at(view, "exits", "hlt") == 10);
	assert_true(number_at(view, "guest", "swap_in_per_second") == 10);
	assert_int_equal(json_array_size(json_object_get(view, "devices")), 1);
	device = json_array_get(json_object_get(view, "devices"), 0);
	assert_true(number_at(device, NULL, "read_bytes_per_second") == 2000);
	assert_true(number_at(device, NULL, "reads_per_second") == 2);
	json_decref(view);
}

static void a_counter_that_went_backwards_has_no_rate(void **state)
{
	json_t *view = view_of(BEFORE, AFTER, TOP_BY_CPU, 20);
	json_t *vcpus = json_object_get(view, "vcpus");

	expect_null(view, "guest", "swap_out_per_second");
	expect_null(json_array_get(vcpus, 1), NULL, "exits_per_second");
	assert_true(number_at(json_array_get(vcpus, 0), NULL, "exits_per_second") == 100);
	assert_true(number_at(view, NULL, "exits_per_second") == 100);
	json_decref(view);
}

static json_int_t pid_at(json_t *view, size_t i)
{
	json_t *task = json_array_get(json_object_get(view, "tasks"), i);

	return json_integer_value(json_object_get(task, "pid"));
}

static void tasks_are_in_the_order_of_their_share(void **state)
{
	json_t *view = view_of(BEFORE, AFTER, TOP_BY_CPU, 20);
	json_t *tasks = json_object_get(view, "tasks");

	assert_int_equal(pid_at(view, 0), 2);
	assert_int_equal(pid_at(view, 1), 3);
	assert_int_equal(pid_at(view, 2), 1);
	assert_true(number_at(json_array_get(tasks, 0), NULL, "cpu_percent") == 50);
	/* A task that began since. */
	assert_true(number_at(json_array_get(tasks, 1), NULL, "cpu_percent") == 10);
	json_decref(view);
	view = view_of(BEFORE, AFTER, TOP_BY_MEMORY, 2);
	assert_int_equal(pid_at(view, 0), 1);
	assert_int_equal(json_array_size(json_object_get(view, "tasks")), 2);
	assert_true(number_at(view, NULL, "tasks_total") == 3);
	json_decref(view);
}

static void without_a_sample_before_there_are_no_rates(void **state)
{
	static const char *const before[] = {NULL, AFTER, "{\"ns\":1,\"info\":{\"pid\":8}}"};

	for (size_t i = 0; i < 3; i++) {
		json_t *view = view_of(before[i], AFTER, TOP_BY_CPU, 20);

		expect_null(view, NULL, "seconds");
		expect_null(view, "host", "cpu_percent");
		expect_null(view, NULL, "exits_per_second");
		expect_null(view, "guest", "swap_in_per_second");
		expect_null(json_array_get(json_object_get(view, "tasks"), 0), NULL, "cpu_percent");
		json_decref(view);
	}
}

/* Anything may be in the answers: all of it ends as a view and as rows. */
static void anything_may_be_in_the_answers(void **state)
{
	static const char *const samples[] = {
		"{}",
		"{\"ns\":9000000000,\"info\":[],\"memory_use\":3,\"ps\":null}",
		"{\"ns\":9000000000,\"info\":{\"pid\":9,\"vcpus\":[null,3,{\"exits\":[1]},"
		"{\"id\":{},\"exits_total\":-5,\"exits\":{\"io\":\"x\",\"a\":-1}}],"
		"\"symbiotic\":{\"current_tasks\":[null,{\"vcpu\":0}]},\"uptime_seconds\":1e308,"
		"\"cpus\":1e300,\"devices\":[null,[],{\"name\":{},\"reads\":-1}]},"
		"\"ps\":{\"tasks\":[null,4,{},{\"pid\":\"x\",\"utime_ns\":-1},"
		"{\"pid\":-1,\"utime_ns\":9223372036854775807,\"stime_ns\":9223372036854775807,"
		"\"rss\":-9223372036854775807}]},\"memory\":{\"host\":-1,\"size\":\"x\"},"
		"\"errors\":{\"memory_use\":\"no\\nmodule\"}}",
		AFTER,
	};

	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 4; j++) {
			json_t *view = view_of(samples[i], samples[j], TOP_BY_CPU, 20);
			json_t *rows = top_rows(view);

			assert_true(json_array_size(rows) > 3);
			json_decref(rows);
			json_decref(view);
		}
}

/* As long as a guest can make its list, and many more vCPUs and reasons than there can be. */
static void a_view_is_bounded(void **state)
{
	json_t *after = json_object(), *info = json_object(), *ps = json_object();
	json_t *tasks = json_array(), *vcpus = json_array(), *exits = json_object(), *view, *rows;
	char name[16];

	for (int i = 0; i < TOP_TASKS_SEEN + 100; i++)
		json_array_append_new(tasks, json_pack("{s:i,s:s}", "pid", i, "comm", "x"));
	for (int i = 0; i < TOP_REASONS_MAX + 100; i++) {
		snprintf(name, sizeof(name), "r%d", i);
		json_object_set_new(exits, name, json_integer(i));
	}
	for (int i = 0; i < TOP_VCPUS_MAX + 100; i++)
		json_array_append_new(vcpus, json_pack("{s:i}", "id", i));
	json_object_set_new(json_array_get(vcpus, 0), "exits", exits);
	json_object_set_new(info, "vcpus", vcpus);
	json_object_set_new(ps, "tasks", tasks);
	json_object_set_new(after, "info", info);
	json_object_set_new(after, "ps", ps);
	view = top_view(NULL, after, TOP_BY_CPU, SIZE_MAX);
	assert_int_equal(json_array_size(json_object_get(view, "tasks")), TOP_TASKS_MAX);
	assert_true(number_at(view, NULL, "tasks_total") == TOP_TASKS_SEEN);
	assert_int_equal(json_array_size(json_object_get(view, "vcpus")), TOP_VCPUS_MAX);
	exits = json_object_get(json_array_get(json_object_get(view, "vcpus"), 0), "exits");
	assert_int_equal(json_object_size(exits), TOP_REASONS_MAX);
	rows = top_rows(view);
	assert_true(json_array_size(rows) < TOP_TASKS_MAX + 20);
	json_decref(rows);
	json_decref(view);
	json_decref(after);
}

/* Guest text cannot move a column: it is the last of its row. */
static void text_of_the_guest_ends_its_row(void **state)
{
	json_t *view = view_of(NULL,
			       "{\"ps\":{\"tasks\":[{\"pid\":7,\"state\":\"R\",\"rss\":4096,"
			       "\"comm\":\"a\\u001b[2J b\"}]}}",
			       TOP_BY_CPU, 20);
	json_t *rows = top_rows(view);

	assert_string_equal(json_string_value(json_array_get(rows, json_array_size(rows) - 1)),
			    "         7       -      4 KiB R a\x1b[2J b");
	json_decref(rows);
	json_decref(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates_are_differences_per_second),
		cmocka_unit_test(a_counter_that_went_backwards_has_no_rate),
		cmocka_unit_test(tasks_are_in_the_order_of_their_share),
		cmocka_unit_test(without_a_sample_before_there_are_no_rates),
		cmocka_unit_test(anything_may_be_in_the_answers),
		cmocka_unit_test(a_view_is_bounded),
		cmocka_unit_test(text_of_the_guest_ends_its_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
