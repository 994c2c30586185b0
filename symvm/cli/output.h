/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output for people, of the commands that ask a VM. The VM's answer is trusted as little as its
 * guest: each text passes text_escape() here, and a row stays one row, whatever its length and
 * content. A file that includes cli/client.h prints by no other means (tests/cli/output.bats checks
 * that). Everything is written to standard output; one thread.
 */
#ifndef SYMVM_CLI_OUTPUT_H
#define SYMVM_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Prints one row (printf style) and the end of its line. */
void output_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Prints "label   value": the label indented by @depth steps, the value (printf style) in a column
 * of its own. On a terminal a value that is too wide continues in the next row, after one of its
 * commas.
 */
void output_field(unsigned depth, const char *label, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Prints the @text in Prometheus' format, whose lines and escapes stay unchanged. */
void output_metrics(const char *text);

/* Prints @value as indented JSON in ASCII, exact, and a newline. */
void output_json(const json_t *value);

/*
 * The string @key of @object, or @otherwise if there is none. Raw: print it by this file's
 * functions. Borrowed from @object.
 */
const char *output_text(json_t *object, const char *key, const char *otherwise);

/*
 * The quote to print before and after @text in a row with others: one that is not in it, if
 * possible.
 */
const char *output_mark(const char *text);

struct output_column {
	const char *title;
	bool right; /* numbers */
};

struct output_table;

/*
 * A table of @count columns, which becomes as wide as its cells. @columns must outlive it. On a
 * terminal the last column ends at the edge. Elsewhere only cells of more than 1024 columns are
 * cut. NULL if memory is exhausted; the other functions accept that.
 */
struct output_table *output_table_create(const struct output_column *columns, size_t count);
/* Sets the next cell (printf style), row by row. */
void output_table_cell(struct output_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Prints titles and rows, and frees the table. */
void output_table_print(struct output_table *table);

#endif
