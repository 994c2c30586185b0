// SPDX-License-Identifier: BSD-2-Clause
/*
 * Prints escaped rows, labelled values and tables. A table keeps its cells raw until the end, and
 * then measures them: a column is as wide as its widest cell, up to a limit. A cell beyond that
 * limit only moves its own row.
 */
#include "cli/output.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/text.h"

#define CELL_BYTES   4096u /* of one cell, before it is escaped */
#define CELL_COLUMNS 1024u
#define ALIGN_MAX    64u /* a wider cell moves its own row only */
#define GAP	     1u
#define INDENT	     2u
#define LABEL_WIDTH  24u
#define WIDTH_MIN    40u /* a narrower terminal wraps by itself */

/* The terminal's columns, or SIZE_MAX if standard output is not a terminal. */
static size_t width_of_output(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return SIZE_MAX;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
		return 80;
	return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
}

void output_line(const char *format, ...)
{
	char *raw = NULL, *safe = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&raw, format, args) >= 0) {
		safe = text_escape_new(raw, 0, NULL);
		free(raw);
	}
	va_end(args);
	puts(safe ? safe : "(out of memory)");
	free(safe);
}

/* Prints @text in rows of at most @width columns that end after a comma if possible. */
static void print_wrapped(char *text, size_t width)
{
	while (strlen(text) > width) {
		size_t end = width;

		while (end > 0 && !(text[end - 1] == ',' && text[end] == ' '))
			end--;
		if (end == 0)
			break;
		printf("%.*s\n%*s", (int)end, text, (int)LABEL_WIDTH, "");
		text += end + 1;
	}
	puts(text);
}

void output_field(unsigned depth, const char *label, const char *format, ...)
{
	size_t width = width_of_output(), columns, indent = (size_t)depth * INDENT;
	char title[CELL_BYTES];
	char *raw = NULL, *safe = NULL;
	va_list args;

	columns = text_escape(title, sizeof(title), label, strlen(label), CELL_COLUMNS, 0);
	columns += indent;
	va_start(args, format);
	if (vasprintf(&raw, format, args) >= 0) {
		safe = text_escape_new(raw, 0, NULL);
		free(raw);
	}
	va_end(args);
	printf("%*s%s", (int)indent, "", title);
	if (safe && !*safe)
		putchar('\n');
	else {
		printf("%*s", columns < LABEL_WIDTH ? (int)(LABEL_WIDTH - columns) : 1, "");
		if (safe)
			print_wrapped(safe, width == SIZE_MAX ? width : width - LABEL_WIDTH);
		else
			puts("(out of memory)");
	}
	free(safe);
}

void output_metrics(const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		char *line = strndup(text, length), *safe;

		safe = line ? text_escape_new(line, TEXT_KEEP_BACKSLASH, NULL) : NULL;
		puts(safe ? safe : "# out of memory");
		free(safe);
		free(line);
		text += length + (text[length] == '\n');
	}
}

void output_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

	/* jansson leaves DEL unchanged. It can only be inside a string. */
	for (const char *c = text ? text : "null"; *c; c++) {
		if (*c == 0x7f)
			fputs("\\u007f", stdout);
		else
			putchar(*c);
	}
	putchar('\n');
	free(text);
}

const char *output_text(json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

const char *output_mark(const char *text)
{
	static const char *const marks[] = {"'", "\"", "`"};

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (!strchr(text, *marks[i]))
			return marks[i];
	return "'\"'";
}

struct output_table {
	const struct output_column *columns;
	size_t column_count;
	char **cells; /* raw */
	size_t count, capacity;
};

struct output_table *output_table_create(const struct output_column *columns, size_t count)
{
	struct output_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->columns = columns;
	table->column_count = count;
	for (size_t i = 0; i < count; i++)
		output_table_cell(table, "%s", columns[i].title);
	return table;
}

void output_table_cell(struct output_table *table, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	if (!table)
		return;
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 64;
		char **grown = realloc(table->cells, capacity * sizeof(*grown));

		if (!grown)
			return;
		table->cells = grown;
		table->capacity = capacity;
	}
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	/* Longer than the part that can be shown, but still long enough to be marked as cut. */
	if (text && strlen(text) > CELL_BYTES)
		text[CELL_BYTES] = '\0';
	table->cells[table->count++] = text;
}

/* The safe form of a cell, cut at @columns. Returns its columns. */
static size_t cell_escape(const char *cell, size_t columns, char out[CELL_BYTES * 4 + 16])
{
	if (!cell)
		cell = "";
	return text_escape(out, CELL_BYTES * 4 + 16, cell, strlen(cell), columns, 0);
}

static void measure(const struct output_table *table, size_t *widths)
{
	char text[CELL_BYTES * 4 + 16];

	memset(widths, 0, table->column_count * sizeof(*widths));
	for (size_t i = 0; i < table->count; i++) {
		size_t width = cell_escape(table->cells[i], ALIGN_MAX, text);

		if (width > widths[i % table->column_count])
			widths[i % table->column_count] = width;
	}
}

static void print_row(const struct output_table *table, char **cells, const size_t *widths,
		      size_t edge)
{
	size_t last = table->column_count - 1, at = 0;
	char text[CELL_BYTES * 4 + 16];

	for (size_t i = 0; i <= last; i++) {
		size_t room = CELL_COLUMNS, columns;
		int padding;

		if (i == last && edge != SIZE_MAX)
			room = edge > at + 8 ? edge - at : 8;
		columns = cell_escape(cells[i], room, text);
		padding = columns < widths[i] ? (int)(widths[i] - columns) : 0;
		if (table->columns[i].right)
			printf("%*s%s", padding, "", text);
		else
			printf("%s%*s", text, i < last ? padding : 0, "");
		if (i < last)
			printf("%*s", (int)GAP, "");
		at += columns + (size_t)padding + GAP;
	}
	putchar('\n');
}

void output_table_print(struct output_table *table)
{
	size_t edge = width_of_output();
	size_t *widths;

	if (!table) {
		puts("(out of memory)");
		return;
	}
	widths = calloc(table->column_count, sizeof(*widths));
	if (widths) {
		measure(table, widths);
		for (size_t i = 0; i + table->column_count <= table->count;
		     i += table->column_count)
			print_row(table, table->cells + i, widths, edge);
	}
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(widths);
	free(table->cells);
	free(table);
}
