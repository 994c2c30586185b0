/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shows a VM's JSON answers in words and units for people: by tables of fields, or by the keys'
 * names. All functions: one thread.
 */
#ifndef SYMVM_CLI_DESCRIBE_H
#define SYMVM_CLI_DESCRIBE_H

#include <jansson.h>
#include <stdbool.h>

/*
 * The @value of @key in one row: bytes as "512 MiB", times as "1.234 ms", counts as "1,234",
 * addresses as "0x1f0", booleans as "yes" or "no". The key's name decides. An object becomes "key
 * value, key value". Allocated and raw (cli/output.h escapes it); the caller frees it; NULL if
 * memory is exhausted.
 */
char *describe_value(const char *key, const json_t *value);

/*
 * An object's numbers in one row, as above, without those that are 0; "-" if none is left. The
 * caller frees it.
 */
char *describe_counters(json_t *object);

/*
 * Prints one row for each key of @object: the key's name, its underscores as blanks, and its value.
 * An array of objects has one row for each. The keys in @skip (ended by NULL) are left out.
 */
void describe_print(unsigned depth, json_t *object, const char *const *skip);

enum describe_unit {
	DESCRIBE_COUNT, /* "1,234" */
	DESCRIBE_BYTES, /* "512 MiB" */
	DESCRIBE_HEX,
	DESCRIBE_NS, /* "1.234 ms" */
	DESCRIBE_SECONDS,
	DESCRIBE_NUMBER,   /* "1234": an identifier */
	DESCRIBE_COUNTERS, /* an object of counters: describe_counters() */
};

/* A row of output: the value of @key after @label. A text or a boolean has no unit. */
struct describe_field {
	const char *key, *label;
	enum describe_unit unit;
	unsigned depth; /* steps by which the label is indented */
};

/* Prints the rows of @fields (ends without a key). The value of a key that @object lacks is "-". */
void describe_fields(json_t *object, const struct describe_field *fields);

#define DESCRIBE_COLUMNS_MAX 16u

/* A column of a table: in each row the value of @key. */
struct describe_column {
	const char *title;
	bool right; /* numbers */
	const char *key;
	enum describe_unit unit;
};

/* Prints a table with a row for each object of @array. @count is at most DESCRIBE_COLUMNS_MAX. */
void describe_table(json_t *array, const struct describe_column *columns, size_t count);

#endif
