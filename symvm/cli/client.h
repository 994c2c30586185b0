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

/* Connects to the VM @name, "NAME" or "USER/NAME". -ENOENT when no such VM runs, -EAGAIN when it is
 * just starting or ending; -errno, with words. */
int client_open(struct client *client, const char *name, struct error *err);
void client_close(struct client *client);
/* The same of a VM that was found already, and waits at most @timeout_ms for it to take us. */
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
 * Takes the answer's @line apart, which a hostile VM may have made: 0 and *@result, an object; the
 * VM's own code and words; -EPROTO. For client_call(), and to be fuzzed.
 */
int client_read_answer(const char *line, size_t length, json_t **result, struct error *err);

/* client_open(), client_call() with CLIENT_TIMEOUT_MS, client_close(). */
int client_ask(const char *name, const char *command, json_t *arguments, json_t **result,
	       struct error *err);

/* Waits until the VM closes the connection, at most @timeout_ms. 0, or -ETIMEDOUT. */
int client_wait_end(struct client *client, unsigned timeout_ms);

/* What commands of the form `COMMAND NAME [--json]` are given. */
struct client_options {
	const char *name;
	bool json;
	struct error *err;
};

/*
 * Parses such a command's arguments (@with_json: whether --json is known) and reports
 * what is wrong. Returns -1 to go on, or the exit status.
 */
int client_parse(int argc, char **argv, const char *doc, bool with_json,
		 struct client_options *options, struct error *err);

/* For argp parsers of other forms: takes @arg as the one NAME. 0 or EINVAL. */
error_t client_take_name(struct argp_state *state, char *arg, const char **name, struct error *err);
/* At the end of the arguments: EINVAL with words unless the name was given. */
error_t client_need_name(struct argp_state *state, const char *name, struct error *err);

#endif
