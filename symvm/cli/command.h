/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subcommands of `symvm`: one file each, which puts its struct command into a
 * linker section. main.c dispatches, `symvm help` lists what is there.
 */
#ifndef SYMVM_CLI_COMMAND_H
#define SYMVM_CLI_COMMAND_H

#include <argp.h>
/* <argp.h> brings getopt's macros, one of which is a member of struct device_class. */
#undef no_argument
#undef required_argument
#undef optional_argument

#include "util/error.h"
#include "util/registry.h"

/* Exit statuses; `symvm run` has those of enum vm_end (machine/vm.h) besides. */
enum {
	COMMAND_SUCCESS = 0,
	COMMAND_FAILURE = 1,
	COMMAND_USAGE = 2,
};

struct command {
	const char *name;      /* "info" */
	const char *arguments; /* "NAME [--json]" */
	const char *summary;   /* one line */
	/* Runs it; @argv[0] is the command's name. Reports its own errors, returns the exit
	 * status. */
	int (*run)(int argc, char **argv);
};
#define COMMAND(object) REGISTRY_ENTRY(symvm_commands, struct command, object)

/* Finds a command by name; NULL. */
const struct command *command_find(const char *name);

/* Writes "symvm: ..." (printf style) as one line to standard error. */
void command_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Parses @argv by @argp (whose parser gets @input), adding --help. Prints nothing
 * but help: a parser that refuses something fills its own struct error, the same as
 * @err, and returns EINVAL. Returns 0 to go on, 1 when help was printed, -EINVAL with words
 * in @err.
 */
int command_parse(const struct argp *argp, int argc, char **argv, void *input, struct error *err);

/* For commands: parses and reports. Returns -1 to go on, or the exit status to return. */
int command_parse_or_report(const struct argp *argp, int argc, char **argv, void *input,
			    struct error *err);

#endif
