// SPDX-License-Identifier: BSD-2-Clause
/* `symvm stop NAME`: the power button, and after a while the plug. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/client.h"
#include "control/state_dir.h"
#include "util/keyval.h"

#define DEFAULT_TIMEOUT_S 30
#define TIMEOUT_MAX_S	  86400
#define FORCE_TIMEOUT_MS  10000u
#define START_LIMIT_MS	  5000u /* until a VM that holds its name must listen */

enum {
	KEY_FORCE = 256,
	KEY_TIMEOUT,
};

struct stop_options {
	const char *name;
	bool force;
	uint64_t timeout_s;
	struct error *err;
};

static const struct argp_option stop_option_table[] = {
	{"force", KEY_FORCE, NULL, 0, "End the VM at once, as if its power was cut", 0},
	{"timeout", KEY_TIMEOUT, "SECONDS", 0,
	 "How long the guest may take to power off before it is forced (default: 30)", 0},
	{0},
};

static error_t parse_stop(int key, char *arg, struct argp_state *state)
{
	struct stop_options *options = state->input;

	switch (key) {
	case KEY_FORCE:
		options->force = true;
		return 0;
	case KEY_TIMEOUT:
		if (keyval_parse_number(arg, &options->timeout_s) == 0 &&
		    options->timeout_s <= TIMEOUT_MAX_S)
			return 0;
		error_set(options->err, -EINVAL,
			  "--timeout: '%s' is not a number of seconds, 0 to %d", arg,
			  TIMEOUT_MAX_S);
		return EINVAL;
	case ARGP_KEY_ARG:
		return client_take_name(state, arg, &options->name, options->err);
	case ARGP_KEY_END:
		return client_need_name(state, options->name, options->err);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The connection ends a little before the VMM does: the name is free when nobody holds it. */
static int wait_name_free(const char *name, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	struct sockaddr_un address;
	unsigned waited_ms = 0;

	while (state_name_lookup(name, &address, err) == 0) {
		if (waited_ms >= FORCE_TIMEOUT_MS)
			return error_set(err, -ETIMEDOUT, "'%s' stopped, but symvm does not end",
					 name);
		nanosleep(&pause, NULL);
		waited_ms += 10;
	}
	return 0;
}

static int force(struct client *client, struct error *err)
{
	int status = client_call(client, "stop", json_pack("{s:b}", "force", 1), CLIENT_TIMEOUT_MS,
				 NULL, err);

	/* Its end may be faster than its answer. */
	if (status < 0 && status != -EPIPE)
		return status;
	status = client_wait_end(client, FORCE_TIMEOUT_MS);
	return status < 0 ? error_set_errno(err, status, "the VM does not end") : 0;
}

static int stop(struct client *client, const struct stop_options *options, struct error *err)
{
	int status;

	if (options->force)
		return force(client, err);
	/* The VM presses the button again until the guest reacts: it may still boot. */
	status = client_call(client, "stop",
			     json_pack("{s:I}", "timeout", (json_int_t)options->timeout_s),
			     CLIENT_TIMEOUT_MS, NULL, err);
	if (status == -EPIPE)
		return 0;
	if (status < 0 && status != -EOPNOTSUPP)
		return status;
	if (status == 0 && client_wait_end(client, (unsigned)options->timeout_s * 1000) == 0)
		return 0;
	if (status == 0)
		command_error("stop: '%s' did not power off within %llu s; forcing it",
			      options->name, (unsigned long long)options->timeout_s);
	else
		command_error("stop: '%s' has no power button; forcing it", options->name);
	return force(client, err);
}

/* As client_open(), but waits for a VM that is just starting. */
static int open_started(struct client *client, const char *name, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	unsigned waited_ms = 0;
	int status;

	while ((status = client_open(client, name, err)) == -EAGAIN && waited_ms < START_LIMIT_MS) {
		nanosleep(&pause, NULL);
		waited_ms += 10;
	}
	return status;
}

static int stop_run(int argc, char **argv)
{
	const struct argp argp = {
		.options = stop_option_table,
		.parser = parse_stop,
		.args_doc = "NAME",
		.doc = "Press a VM's power button and wait until it is off.",
	};
	struct error err;
	struct stop_options options = {.timeout_s = DEFAULT_TIMEOUT_S, .err = &err};
	struct client client;
	int status = command_parse_or_report(&argp, argc, argv, &options, &err);

	if (status >= 0)
		return status;
	status = open_started(&client, options.name, &err);
	if (status == 0) {
		status = stop(&client, &options, &err);
		client_close(&client);
	}
	if (status == 0)
		status = wait_name_free(options.name, &err);
	if (status == 0)
		return COMMAND_SUCCESS;
	command_error("stop: %s", err.text);
	return COMMAND_FAILURE;
}

static const struct command stop_command = {
	.name = "stop",
	.arguments = "NAME [--force] [--timeout SECONDS]",
	.summary = "Press a VM's power button; after a while, or at once, force it",
	.run = stop_run,
};
COMMAND(stop_command);
