// SPDX-License-Identifier: BSD-2-Clause
#include "cli/arguments_help.h"

#include <stdio.h>
#include <string.h>

#include "util/word_list.h"

#define HELP_COLUMN  26u
#define HELP_WIDTH   79u
#define USAGE_LISTED 4u	  /* more options are "[OPTION]..." */
#define LEFT_MAX     512u /* "  --name=VALUE" */

const char *arguments_metavar(const struct argument *argument, char text[ARGUMENTS_METAVAR_MAX])
{
	if (argument->metavar)
		return argument->metavar;
	text[0] = '\0';
	for (size_t i = 0; argument->choices && argument->choices[i]; i++)
		word_list_add(text, ARGUMENTS_METAVAR_MAX, "|", argument->choices[i]);
	return text;
}

/* Prints @text from @column on, in rows of words that begin at @indent; then ends the line. */
static void print_wrapped(const char *text, size_t column, size_t indent)
{
	while (*text) {
		size_t length = strcspn(text, " ");

		if (column > indent && column + 1 + length > HELP_WIDTH) {
			printf("\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			putchar(' ');
			column++;
		}
		printf("%.*s", (int)length, text);
		column += length;
		text += length + strspn(text + length, " ");
	}
	putchar('\n');
}

/* "--size=SIZE", "--rng[=FILE]", "--json". */
static void write_option(char text[LEFT_MAX], const struct argument *option)
{
	char buffer[ARGUMENTS_METAVAR_MAX];
	const char *metavar = arguments_metavar(option, buffer);
	bool value = *metavar && option->type != ARGUMENT_FLAG;

	snprintf(text, LEFT_MAX, "--%s%s%s%s%s", option->name, option->value_optional ? "[" : "",
		 value ? "=" : "", value ? metavar : "", option->value_optional ? "]" : "");
}

static void print_usage(const struct arguments *table, const char *command)
{
	const struct argument *it;
	char left[LEFT_MAX];
	size_t options = 0;

	printf("Usage: symvm %s", command);
	for (it = table->words; it && it->name; it++)
		printf(it->optional ? " [%s]%s" : " %s%s", it->name, it->repeated ? "..." : "");
	for (it = table->options; it && it->name; it++)
		options++;
	for (it = table->options; it && it->name && options <= USAGE_LISTED; it++) {
		write_option(left, it);
		printf(" [%s]", left);
	}
	printf("%s\n", options > USAGE_LISTED ? " [OPTION]..." : "");
}

static void print_row(const char *left, const char *help)
{
	printf("  %s", left);
	if (strlen(left) + 4 > HELP_COLUMN)
		printf("\n%*s", (int)HELP_COLUMN, "");
	else
		printf("%*s", (int)(HELP_COLUMN - 2 - strlen(left)), "");
	print_wrapped(help, HELP_COLUMN, HELP_COLUMN);
}

void arguments_help(const struct arguments *table, const char *command)
{
	const struct argument *it;
	char left[LEFT_MAX];

	print_usage(table, command);
	print_wrapped(table->about, 0, 0);
	putchar('\n');
	for (it = table->words; it && it->name; it++)
		print_row(it->name, it->help);
	for (it = table->options; it && it->name; it++) {
		write_option(left, it);
		print_row(left, it->help);
	}
	print_row("--help", "Print this text and exit");
	if (table->notes) {
		putchar('\n');
		print_wrapped(table->notes, 0, 0);
	}
}
