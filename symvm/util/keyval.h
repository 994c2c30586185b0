/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The argument of an option such as --disk: "key=value,key,key=value". A comma
 * in a value is written twice.
 */
#ifndef SYMVM_UTIL_KEYVAL_H
#define SYMVM_UTIL_KEYVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

#define KEYVAL_LIST_MAX 32u

/* Values of a key that may be given several times; keyval_list_free() frees them. */
struct keyval_list {
	unsigned count;
	char *items[KEYVAL_LIST_MAX];
};

struct keyval_field {
	const char *key;
	enum {
		KEYVAL_TEXT,   /* char **: allocated copy, the caller frees it */
		KEYVAL_FLAG,   /* bool *: "key", "key=on|off" */
		KEYVAL_SIZE,   /* uint64_t *: bytes, with K, M, G or T */
		KEYVAL_NUMBER, /* uint64_t * */
		KEYVAL_LIST,   /* struct keyval_list *: each time the key is given adds one text */
	} type;
	void *value;
	bool required;
	bool repeated_last; /* a later value replaces an earlier one; else -EINVAL */
};

/*
 * Parses @text into the variables that the @fields (ended by a NULL key) point to. A first part
 * without "=" that is not a known key becomes the value of the first field if that is a text
 * ("--disk FILE"). -EINVAL with words naming the option @option and the key; texts already set are
 * freed then.
 */
int keyval_parse(const char *option, const char *text, const struct keyval_field *fields,
		 struct error *err);

void keyval_list_free(struct keyval_list *list);

/* Parses a size in bytes with an optional suffix K, M, G or T (powers of 1024). -EINVAL, -ERANGE.
 */
int keyval_parse_size(const char *text, uint64_t *value);
/* Parses a whole decimal or 0x number. -EINVAL, -ERANGE. */
int keyval_parse_number(const char *text, uint64_t *value);

#endif
