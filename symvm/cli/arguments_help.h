/* SPDX-License-Identifier: BSD-2-Clause */
/* `symvm COMMAND --help`, from the table of the command's arguments. */
#ifndef SYMVM_CLI_ARGUMENTS_HELP_H
#define SYMVM_CLI_ARGUMENTS_HELP_H

#include "cli/arguments.h"

/* Prints usage, words, options and notes to standard output. One thread. */
void arguments_help(const struct arguments *table, const char *command);

#define ARGUMENTS_METAVAR_MAX 128u

/*
 * The placeholder for the value of @argument: "SIZE", "yes|no". Returns the argument's own text, or
 * writes to @text. Any thread.
 */
const char *arguments_metavar(const struct argument *argument, char text[ARGUMENTS_METAVAR_MAX]);

#endif
