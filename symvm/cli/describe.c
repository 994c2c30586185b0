// SPDX-License-Identifier: BSD-2-Clause
#include "cli/describe.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/output.h"

#define DEPTH_MAX 4u
#define NAME_MAX_ 64u

enum unit { UNIT_COUNT, UNIT_BYTES, UNIT_HEX, UNIT_NS, UNIT_SECONDS, UNIT_NUMBER };

/* How keys tell the unit: the whole key, or its begin or end. The first that fits counts. */
static const struct {
	const char *text;
	enum { WHOLE, BEGIN, END } place;
	enum unit unit;
} units[] = {
	{"_bytes", END, UNIT_BYTES},	   {"bytes_", BEGIN, UNIT_BYTES},
	{"bytes", WHOLE, UNIT_BYTES},	   {"mem_", BEGIN, UNIT_BYTES},
	{"swap_total", WHOLE, UNIT_BYTES}, {"swap_free", WHOLE, UNIT_BYTES},
	{"size", WHOLE, UNIT_BYTES},	   {"_size", END, UNIT_BYTES},
	{"budget", WHOLE, UNIT_BYTES},	   {"used", WHOLE, UNIT_BYTES},
	{"requested", WHOLE, UNIT_BYTES},  {"minimum", WHOLE, UNIT_BYTES},
	{"boot", WHOLE, UNIT_BYTES},	   {"max", WHOLE, UNIT_BYTES},
	{"host", WHOLE, UNIT_BYTES},	   {"address", WHOLE, UNIT_HEX},
	{"_address", END, UNIT_HEX},	   {"gpa", WHOLE, UNIT_HEX},
	{"port", WHOLE, UNIT_HEX},	   {"_port", END, UNIT_HEX},
	{"features", WHOLE, UNIT_HEX},	   {"_ns", END, UNIT_NS},
	{"_seconds", END, UNIT_SECONDS},   {"pid", WHOLE, UNIT_NUMBER},
	{"tgid", WHOLE, UNIT_NUMBER},	   {"ppid", WHOLE, UNIT_NUMBER},
	{"uid", WHOLE, UNIT_NUMBER},	   {"cid", WHOLE, UNIT_NUMBER},
};

static enum unit unit_of(const char *key)
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
	return UNIT_COUNT;
}

static void put_number(FILE *out, const char *key, json_int_t number)
{
	enum unit unit = unit_of(key);
	char text[64];

	/* A negative size or address is nonsense of whoever answers: shown as it is. */
	if (number < 0 && unit != UNIT_NS)
		unit = UNIT_COUNT;
	switch (unit) {
	case UNIT_BYTES:
		format_size(text, sizeof(text), (uint64_t)number);
		break;
	case UNIT_HEX:
		snprintf(text, sizeof(text), "0x%llx", (unsigned long long)number);
		break;
	case UNIT_NS:
		format_nanoseconds(text, sizeof(text), number);
		break;
	case UNIT_SECONDS:
		format_duration(text, sizeof(text), (double)number);
		break;
	case UNIT_NUMBER:
		snprintf(text, sizeof(text), "%lld", (long long)number);
		break;
	default:
		format_count(text, sizeof(text), number);
		break;
	}
	fputs(text, out);
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

	if (unit_of(key) == UNIT_SECONDS && number >= 0)
		format_duration(text, sizeof(text), number);
	else
		snprintf(text, sizeof(text), "%.6g", number);
	fputs(text, out);
}

static void put_value(FILE *out, const char *key, const json_t *value, unsigned depth)
{
	/* In a row with others a text needs marks, to be told from them. */
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
