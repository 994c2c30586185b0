/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Subcommands of `symvm`: one file each, with one constant struct command in a linker section.
 * main.c finds the command, and `symvm help` lists the section. A command that asks a running VM
 * is data, too: cli/client.h has its run().
 */
#ifndef SYMVM_CLI_COMMAND_H
#define SYMVM_CLI_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/arguments.h"
#include "util/error.h"
#include "util/registry.h"

/* Exit statuses; `symvm run` has those of enum vm_end (machine/vm.h) in addition. */
enum {
	COMMAND_SUCCESS = 0,
	COMMAND_FAILURE = 1,
	COMMAND_USAGE = 2,
};

/* The values of a command's arguments. */
struct command_input {
	const char *vm;	 /* CLIENT_NAME; in argv */
	bool json;	 /* CLIENT_JSON */
	json_t *request; /* the arguments that have a .key */
};

struct command {
	const char *name;    /* "info" */
	const char *summary; /* one line */
	struct arguments arguments;
	/* Runs it with the parsed arguments. Reports its own errors, returns the exit status. */
	int (*run)(const struct command *command, struct command_input *input);
	/* In place of .arguments and .run: parses by itself; @argv[0] is the command's name. */
	int (*run_unparsed)(int argc, char **argv);
	/* Of client_run(): shows the VM's answer to a person. NULL: as JSON. */
	void (*print)(json_t *answer);
	/* Of client_run(): the answer is not shown. */
	bool silent;
};
#define COMMAND(object) REGISTRY_ENTRY(symvm_commands, struct command, object)

/* Finds a command by name, or returns NULL. Any thread. */
const struct command *command_find(const char *name);

/*
 * Parses the arguments, and reports what is wrong with them or runs @command. Returns the exit
 * status. Main thread.
 */
int command_run(const struct command *command, int argc, char **argv);

/* Writes "symvm: ..." (printf style) as one escaped line to standard error. Any thread. */
void command_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
