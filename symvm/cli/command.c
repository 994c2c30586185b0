// SPDX-License-Identifier: BSD-2-Clause
/* What all subcommands share: their table, and argp without its exits and its many lines. */
#include "cli/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/text.h"

#define KEY_HELP 0x7fff

REGISTRY_DECLARE(symvm_commands, struct command);

const struct command *command_find(const char *name)
{
	const struct command *const *it;

	REGISTRY_FOR_EACH(symvm_commands, it)
		if (strcmp((*it)->name, name) == 0)
			return *it;
	return NULL;
}

void command_error(const char *format, ...)
{
	char text[sizeof(struct error) + 128], safe[4 * sizeof(text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* It may quote a user, a file, a VM or a guest; it stays one row. */
	text_escape(safe, sizeof(safe), text, strlen(text), SIZE_MAX, 0);
	fprintf(stderr, "symvm: %s\n", safe);
}

/* The outer argp, which adds --help to the command's own. */
struct outer {
	void *input;
	struct error *err;
	bool help;
	int failed_at; /* where in argv the parser stood when it failed */
};

static error_t parse_outer(int key, char *arg, struct argp_state *state)
{
	struct outer *outer = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = outer->input;
		state->child_inputs[1] = outer->err;
		return 0;
	case ARGP_KEY_ERROR:
		outer->failed_at = state->next;
		return 0;
	case KEY_HELP:
		outer->help = true;
		/* What follows is not looked at any more. */
		state->next = state->argc;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Comes after the command's own parser: an argument that arrives here is nobody's. */
static error_t parse_rest(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	error_set(state->input, -EINVAL, "%s: unexpected argument '%s'", state->argv[0], arg);
	return EINVAL;
}

static const struct argp_option *find_option(const struct argp *argp, const char *name,
					     size_t length)
{
	const struct argp_option *option;

	for (option = argp->options; option && (option->name || option->key || option->doc);
	     option++)
		if (option->name && strlen(option->name) == length &&
		    strncmp(option->name, name, length) == 0)
			return option;
	return NULL;
}

/* getopt refused the option before @index and said nothing: say what. */
static int explain(const struct argp *argp, int argc, char **argv, int index, struct error *err)
{
	const char *word = index >= 1 && index <= argc ? argv[index - 1] : "";
	const struct argp_option *option;
	size_t length;

	/* In a cluster of short options it still stands on the word. */
	if (word[0] != '-' && index < argc)
		word = argv[index];
	if (strncmp(word, "--", 2) == 0) {
		length = strcspn(word + 2, "=");
		option = find_option(argp, word + 2, length);
		if (option && !option->arg && word[2 + length] == '=')
			return error_set(err, -EINVAL, "%s: option --%s takes no value", argv[0],
					 option->name);
		if (option && option->arg)
			return error_set(err, -EINVAL, "%s: option --%s needs a value: %s", argv[0],
					 option->name, option->arg);
	}
	return error_set(err, -EINVAL, "%s: unknown option '%s' (see 'symvm help %s')", argv[0],
			 word, argv[0]);
}

int command_parse(const struct argp *argp, int argc, char **argv, void *input, struct error *err)
{
	static const struct argp_option options[] = {
		{"help", KEY_HELP, NULL, 0, "Print this and do nothing", -1},
		{0},
	};
	const struct argp rest = {.parser = parse_rest};
	const struct argp_child children[] = {{argp, 0, NULL, 0}, {&rest, 0, NULL, 0}, {0}};
	struct argp whole = {.options = options, .parser = parse_outer, .children = children};
	struct outer outer = {.input = input, .err = err};
	char name[64];
	error_t status;

	err->text[0] = '\0';
	status = argp_parse(&whole, argc, argv, ARGP_NO_EXIT | ARGP_NO_ERRS | ARGP_NO_HELP, NULL,
			    &outer);
	if (outer.help) {
		snprintf(name, sizeof(name), "symvm %s", argv[0]);
		argp_help(&whole, stdout, ARGP_HELP_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, name);
		return 1;
	}
	if (status == 0)
		return 0;
	if (err->text[0])
		return -EINVAL;
	return explain(argp, argc, argv, outer.failed_at, err);
}

int command_parse_or_report(const struct argp *argp, int argc, char **argv, void *input,
			    struct error *err)
{
	int status = command_parse(argp, argc, argv, input, err);

	if (status == 0)
		return -1;
	if (status > 0)
		return COMMAND_SUCCESS;
	command_error("%s", err->text);
	return COMMAND_USAGE;
}
