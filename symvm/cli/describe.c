// SPDX-License-Identifier: BSD-2-Clause
/*
 * Shows the VM's JSON for people. A value's unit is given by a table of fields or, for keys that no
 * table names, found from the key's own name. All texts are raw here: output.h escapes them when
 * they are printed.
 */
#include "cli/describe.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/output.h"

#define DEPTH_MAX 4u
#define NAME_MAX_ 64u

/* How keys show the unit: by the whole key, or by its begin or end. The first match counts. */
static const struct {
	const char *text;
	enum { WHOLE, BEGIN, END } place;
	enum describe_unit unit;
} units[] = {
	{"_bytes", END, DESCRIBE_BYTES},       {"bytes_", BEGIN, DESCRIBE_BYTES},
	{"bytes", WHOLE, DESCRIBE_BYTES},      {"mem_", BEGIN, DESCRIBE_BYTES},
	{"swap_total", WHOLE, DESCRIBE_BYTES}, {"swap_free", WHOLE, DESCRIBE_BYTES},
	{"size", WHOLE, DESCRIBE_BYTES},       {"_size", END, DESCRIBE_BYTES},
	{"budget", WHOLE, DESCRIBE_BYTES},     {"used", WHOLE, DESCRIBE_BYTES},
	{"requested", WHOLE, DESCRIBE_BYTES},  {"minimum", WHOLE, DESCRIBE_BYTES},
	{"boot", WHOLE, DESCRIBE_BYTES},       {"max", WHOLE, DESCRIBE_BYTES},
	{"host", WHOLE, DESCRIBE_BYTES},       {"address", WHOLE, DESCRIBE_HEX},
	{"_address", END, DESCRIBE_HEX},       {"gpa", WHOLE, DESCRIBE_HEX},
	{"port", WHOLE, DESCRIBE_HEX},	       {"_port", END, DESCRIBE_HEX},
	{"features", WHOLE, DESCRIBE_HEX},     {"_ns", END, DESCRIBE_NS},
	{"_seconds", END, DESCRIBE_SECONDS},   {"pid", WHOLE, DESCRIBE_NUMBER},
	{"tgid", WHOLE, DESCRIBE_NUMBER},      {"ppid", WHOLE, DESCRIBE_NUMBER},
	{"uid", WHOLE, DESCRIBE_NUMBER},       {"gid", WHOLE, DESCRIBE_NUMBER},
	{"cid", WHOLE, DESCRIBE_NUMBER},       {"guest_abi", WHOLE, DESCRIBE_HEX},
};

static enum describe_unit unit_of(const char *key)
{
	size_t length = strlen(key);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t part = strlen(units[i].text);
		bool fits = strcmp(key, units[i].text) == 0;

		if (units[i].place == BEGIN)
			fits = strncmp(key, units[i].text, part) == 0;
		else if (units[i].place == END)
			fits = length >= part && strcmp(key + length - part, units[i].text) == 0;
		if (fits)
			return units[i].unit;
	}
	return DESCRIBE_COUNT;
}

static void put_in_unit(FILE *out, enum describe_unit unit, json_int_t number)
{
	char text[64];

	/* A negative size or address is wrong, but the VM may send anything: show it unchanged. */
	if (number < 0 && unit != DESCRIBE_NS)
		unit = DESCRIBE_COUNT;
	switch (unit) {
	case DESCRIBE_BYTES:
		format_size(text, sizeof(text), (uint64_t)number);
		break;
	case DESCRIBE_HEX:
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)number);
		break;
	case DESCRIBE_NS:
		format_nanoseconds(text, sizeof(text), number);
		break;
	case DESCRIBE_SECONDS:
		format_duration(text, sizeof(text), (double)number);
		break;
	case DESCRIBE_NUMBER:
		snprintf(text, sizeof(text), "%lld", (long long)number);
		break;
	default:
		format_count(text, sizeof(text), number);
		break;
	}
	fputs(text, out);
}

static void put_number(FILE *out, const char *key, json_int_t number)
{
	put_in_unit(out, unit_of(key), number);
}

static void put_key(FILE *out, const char *key)
{
	for (; *key; key++)
		fputc(*key == '_' ? ' ' : *key, out);
}

static void put_value(FILE *out, const char *key, const json_t *value, unsigned depth);

static void put_members(FILE *out, const json_t *object, unsigned depth)
{
	const char *key, *gap = "";
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		fputs(gap, out);
		put_key(out, key);
		fputc(' ', out);
		put_value(out, key, value, depth + 1);
		gap = ", ";
	}
}

static void put_elements(FILE *out, const char *key, const json_t *array, unsigned depth)
{
	json_t *value;
	size_t i;

	json_array_foreach(array, i, value) {
		fputs(i ? ", " : "", out);
		put_value(out, key, value, depth + 1);
	}
	if (json_array_size(array) == 0)
		fputs("none", out);
}

static void put_real(FILE *out, const char *key, double number)
{
	char text[64];

	if (unit_of(key) == DESCRIBE_SECONDS && number >= 0)
		format_duration(text, sizeof(text), number);
	else
		snprintf(text, sizeof(text), "%.6g", number);
	fputs(text, out);
}

static void put_value(FILE *out, const char *key, const json_t *value, unsigned depth)
{
	/* In a row with other values a text needs quotes around it. */
	const char *mark = depth && json_is_string(value) ? output_mark(json_string_value(value))
							  : "";

	if (depth > DEPTH_MAX)
		fputs("...", out);
	else if (json_is_string(value))
		fprintf(out, "%s%s%s", mark, json_string_value(value), mark);
	else if (json_is_integer(value))
		put_number(out, key, json_integer_value(value));
	else if (json_is_real(value))
		put_real(out, key, json_real_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", out);
	else if (json_is_object(value))
		put_members(out, value, depth);
	else if (json_is_array(value))
		put_elements(out, key, value, depth);
	else
		fputs("-", out);
}

char *describe_value(const char *key, const json_t *value)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put_value(out, key, value, 0);
	fclose(out);
	return text;
}

char *describe_counters(json_t *object)
{
	char *text = NULL;
	const char *key, *gap = "";
	json_t *value;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	json_object_foreach(object, key, value) {
		if (!json_is_integer(value) || json_integer_value(value) == 0)
			continue;
		fputs(gap, out);
		put_key(out, key);
		fputc(' ', out);
		put_number(out, key, json_integer_value(value));
		gap = ", ";
	}
	if (!*gap)
		fputc('-', out);
	fclose(out);
	return text;
}

static void print_value(unsigned depth, const char *label, const char *key, const json_t *value)
{
	char *text = describe_value(key, value);

	output_field(depth, label, "%s", text ? text : "?");
	free(text);
}

/* "queues" holds "queue 0", "queue 1": the name of one element. */
static void print_elements(unsigned depth, const char *label, const char *key, json_t *array)
{
	char name[NAME_MAX_];
	size_t length = strlen(label), i;
	json_t *value;

	if (length > 1 && label[length - 1] == 's')
		length--;
	json_array_foreach(array, i, value) {
		snprintf(name, sizeof(name), "%.*s %zu", (int)(length < 40 ? length : 40), label,
			 i);
		print_value(depth, name, key, value);
	}
}

void describe_print(unsigned depth, json_t *object, const char *const *skip)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		char label[NAME_MAX_];
		bool skipped = false;

		for (size_t i = 0; skip && skip[i]; i++)
			skipped = skipped || strcmp(key, skip[i]) == 0;
		if (skipped)
			continue;
		snprintf(label, sizeof(label), "%s", key);
		for (char *c = label; *c; c++)
			*c = *c == '_' ? ' ' : *c;
		if (json_is_object(json_array_get(value, 0)))
			print_elements(depth, label, key, value);
		else
			print_value(depth, label, key, value);
	}
}

/* The value of @key of @object in @unit: allocated and raw; "-" if it is missing; NULL. */
static char *describe_field(json_t *object, const char *key, enum describe_unit unit)
{
	json_t *value = json_object_get(object, key);
	char *text = NULL;
	size_t size;
	FILE *out;

	if (unit == DESCRIBE_COUNTERS)
		return describe_counters(value);
	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	if (json_is_integer(value))
		put_in_unit(out, unit, json_integer_value(value));
	else
		put_value(out, key, value, 0);
	fclose(out);
	return text;
}

void describe_fields(json_t *object, const struct describe_field *fields)
{
	for (; fields->key; fields++) {
		char *text = describe_field(object, fields->key, fields->unit);

		output_field(fields->depth, fields->label, "%s", text ? text : "?");
		free(text);
	}
}

void describe_table(json_t *array, const struct describe_column *columns, size_t count)
{
	struct output_column titles[DESCRIBE_COLUMNS_MAX];
	struct output_table *table;
	json_t *row;
	size_t i;

	if (count > DESCRIBE_COLUMNS_MAX)
		count = DESCRIBE_COLUMNS_MAX;
	for (i = 0; i < count; i++)
		titles[i] = (struct output_column){columns[i].title, columns[i].right};
	table = output_table_create(titles, count);
	json_array_foreach(array, i, row) {
		for (size_t column = 0; column < count; column++) {
			char *text = describe_field(row, columns[column].key, columns[column].unit);

			output_table_cell(table, "%s", text ? text : "?");
			free(text);
		}
	}
	output_table_print(table);
}
