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

#define OPTION_LIST_MAX 32u

/* Values of a key that may be given several times; option_list_free() frees them. */
struct option_list {
	unsigned count;
	char *items[OPTION_LIST_MAX];
};

struct option_field {
	const char *key;
	enum {
		OPTION_TEXT,   /* char **: allocated copy, the caller frees it */
		OPTION_FLAG,   /* bool *: "key", "key=on|off" */
		OPTION_SIZE,   /* uint64_t *: bytes, with K, M, G or T */
		OPTION_NUMBER, /* uint64_t * */
		OPTION_LIST,   /* struct option_list *: each time the key is given adds one text */
	} type;
	void *value;
	bool required;
	bool repeated_last; /* a later value replaces an earlier one; else -EINVAL */
};

/*
 * Parses @text into the variables that the @fields (ended by a NULL key) point
 * to. A first part without "=" that is no known key becomes the value of the first field
 * when that is a text ("--disk FILE"). -EINVAL with words naming the option
 * @option and the key; texts already set are freed then.
 */
int option_parse(const char *option, const char *text, const struct option_field *fields,
		 struct error *err);

void option_list_free(struct option_list *list);

/* Parses a size in bytes with an optional suffix K, M, G or T (powers of 1024). -EINVAL, -ERANGE.
 */
int option_parse_size(const char *text, uint64_t *value);
/* Parses a whole decimal or 0x number. -EINVAL, -ERANGE. */
int option_parse_number(const char *text, uint64_t *value);

#endif
