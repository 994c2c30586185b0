/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arguments of a subcommand as a constant table, and the one parser of all of them. An argument
 * has a type, limits, and a destination for its value: the request to the VM (.key), a member of a
 * structure (ARGUMENT_INTO), or a function (.take). The parser checks values, words errors, and
 * prints --help from the same table.
 */
#ifndef SYMVM_CLI_ARGUMENTS_H
#define SYMVM_CLI_ARGUMENTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

enum argument_type {
	ARGUMENT_FLAG,	   /* an option without a value: true */
	ARGUMENT_NUMBER,   /* decimal, or hexadecimal with 0x; .minimum, .maximum */
	ARGUMENT_SIZE,	   /* bytes, or with K, M, G, T */
	ARGUMENT_DURATION, /* whole seconds; .minimum, .maximum */
	ARGUMENT_CHOICE,   /* one of .choices: its text in a request, its index in a member */
	ARGUMENT_TEXT,	   /* not empty, unless .may_be_empty */
	ARGUMENT_CUSTOM,   /* whatever .take accepts; without .metavar it has no value */
};

struct argument {
	const char *name; /* "budget"; for a positional argument, its name in help: "NAME" */
	char letter;	  /* a short option, too; 0: none */
	enum argument_type type;
	const char *metavar; /* "SIZE"; NULL: the choices */
	const char *help;
	/* Limits. A .maximum of 0 means INT64_MAX. */
	uint64_t minimum, maximum;
	const char *const *choices; /* ends with NULL */
	bool may_be_empty;
	bool value_optional; /* --name or --name=VALUE; for ARGUMENT_CUSTOM */
	bool optional;	     /* a positional argument that may be missing */
	bool repeated;	     /* the last positional argument; in a request an array */
	/* The destination of the value: */
	const char *key; /* of the request */
	/* For the command: @value is in argv, and NULL without one. -errno with words. */
	int (*take)(void *input, const struct argument *argument, const char *value,
		    struct error *err);
	size_t offset, size; /* ARGUMENT_INTO(); size 0: not into a member */
	bool copy;	     /* a text is allocated; the previous one is freed */
	const void *data;    /* for .take */
};

/*
 * The member of the structure that arguments_parse() gets as @input: a bool for a flag, an unsigned
 * integer or an enum for numbers and choices, (const) char * for a text.
 */
#define ARGUMENT_INTO(type, member) \
	.offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

struct arguments {
	const char *about;		/* one sentence or more, for --help */
	const char *notes;		/* after the options; NULL: none */
	const struct argument *words;	/* positional arguments; ends without a name; NULL: none */
	const struct argument *options; /* the same */
};

/*
 * Parses @argv by @table; @argv[0] is the command's name. Options may be anywhere and may be
 * abbreviated, and the last one counts; "--" ends them. @input and @request (borrowed) may be NULL
 * if no argument is stored there. Returns 0, 1 if --help was printed, or -EINVAL with words in
 * @err. One thread at a time: it uses getopt_long(3).
 */
int arguments_parse(const struct arguments *table, int argc, char **argv, void *input,
		    json_t *request, struct error *err);

#endif
