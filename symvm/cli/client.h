/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's end of the control socket, for the subcommands that ask a running VM. */
#ifndef SYMVM_CLI_CLIENT_H
#define SYMVM_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/command.h"
#include "control/state_find.h"
#include "util/error.h"

#define CLIENT_TIMEOUT_MS 10000u
#define CLIENT_ANSWER_MAX (16u << 20)

struct client {
	int fd;
};

/*
 * Connects to the VM @name, "NAME" or "USER/NAME". -ENOENT if no such VM runs, -EAGAIN if it is
 * just starting or ending; -errno, with words. All functions of this file: one thread.
 */
int client_open(struct client *client, const char *name, struct error *err);
/* Closes the connection, if there is one. */
void client_close(struct client *client);
/*
 * Connects to a VM that was found already, and waits at most @timeout_ms for it to accept. The same
 * errors, and -ETIMEDOUT.
 */
int client_open_found(struct client *client, const struct state_found *found, unsigned timeout_ms,
		      struct error *err);

/*
 * Sends one request and waits for its answer, at most @timeout_ms for the whole.
 * @arguments is stolen and may be NULL. On success *@result (unless @result is NULL) is a new
 * reference. A refusal by the VM comes back as its code and words; -EPIPE: the VM ended
 * before it answered; -ETIMEDOUT.
 */
int client_call(struct client *client, const char *command, json_t *arguments, unsigned timeout_ms,
		json_t **result, struct error *err);

/*
 * Parses the answer in @line, which may come from a hostile VM. Returns 0 and an object in
 * *@result, or the VM's own code and words, or -EPROTO. For client_call() and for fuzzing.
 */
int client_read_answer(const char *line, size_t length, json_t **result, struct error *err);

/* client_open(), client_call() with CLIENT_TIMEOUT_MS, client_close(). */
int client_ask(const char *name, const char *command, json_t *arguments, json_t **result,
	       struct error *err);

/* Waits until the VM closes the connection, at most @timeout_ms. 0, or -ETIMEDOUT. */
int client_wait_end(struct client *client, unsigned timeout_ms);

/* The positional NAME of a VM, for a command's .words. */
#define CLIENT_NAME                                                                             \
	{                                                                                       \
		.name = "NAME", .type = ARGUMENT_CUSTOM, .metavar = "NAME",                     \
		.help = "the name of a running VM (see 'symvm list')", .take = client_take_name \
	}
/* --json, for .options. */
#define CLIENT_JSON                                                          \
	{                                                                    \
		.name = "json", .type = ARGUMENT_FLAG, .help = "Print JSON", \
		ARGUMENT_INTO(struct command_input, json)                    \
	}
/* The .words of a command that takes a NAME and nothing else, and the .options that are --json. */
extern const struct argument client_words[], client_json_options[];

/* A .take: checks NAME and stores it in the struct command_input @input. */
int client_take_name(void *input, const struct argument *argument, const char *value,
		     struct error *err);

/*
 * A command's .run: sends its request under its name, then shows the answer: as JSON with --json or
 * without .print, and not at all if .silent. Returns the exit status.
 */
int client_run(const struct command *command, struct command_input *input);

#endif
