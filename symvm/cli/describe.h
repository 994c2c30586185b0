/* SPDX-License-Identifier: BSD-2-Clause */
/* What a VM says of itself as JSON, in words and units for people. */
#ifndef SYMVM_CLI_DESCRIBE_H
#define SYMVM_CLI_DESCRIBE_H

#include <jansson.h>
#include <stdbool.h>

/*
 * The @value of @key in one row: bytes as "512 MiB", times as "1.234 ms", counts as "1,234",
 * addresses as "0x1f0", booleans as "yes" or "no"; the key's name tells which. An object
 * becomes "key value, key value". Allocated and raw (cli/output.h escapes it); the caller
 * frees it; NULL when out of memory.
 */
char *describe_value(const char *key, const json_t *value);

/* An object's numbers in one row, as above, without those that are 0: "-" where none is left. */
char *describe_counters(json_t *object);

/*
 * Prints one row for each key of @object: the key's name, its underscores as blanks, and its value.
 * An array of objects has one row for each. The keys in @skip (ended by NULL) are left out.
 */
void describe_print(unsigned depth, json_t *object, const char *const *skip);

#endif
