// SPDX-License-Identifier: BSD-2-Clause
/* `symvm stop NAME`: presses the power button, and after a while pulls the plug. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/client.h"
#include "control/state_dir.h"

#define DEFAULT_TIMEOUT_S 30
#define TIMEOUT_MAX_S	  86400
#define FORCE_TIMEOUT_MS  10000u
#define START_LIMIT_MS	  5000u /* until a VM that holds its name must listen */

static const struct argument stop_options[] = {
	{.name = "force",
	 .type = ARGUMENT_FLAG,
	 .key = "force",
	 .help = "End the VM at once, as if its power was cut"},
	{.name = "timeout",
	 .type = ARGUMENT_DURATION,
	 .metavar = "SECONDS",
	 .key = "timeout",
	 .maximum = TIMEOUT_MAX_S,
	 .help = "How long the guest may take to power off before it is forced (default: 30)"},
	{0},
};

/* The connection ends a little before the VMM: wait until no process holds the name. */
static int wait_name_free(const char *name, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	struct sockaddr_un address;
	unsigned waited_ms = 0;

	while (state_name_lookup(name, &address, err) == 0) {
		if (waited_ms >= FORCE_TIMEOUT_MS)
			return error_set(err, -ETIMEDOUT,
					 "'%s' stopped, but its symvm process does not end", name);
		nanosleep(&pause, NULL);
		waited_ms += 10;
	}
	return 0;
}

static int force(struct client *client, struct error *err)
{
	int status = client_call(client, "stop", json_pack("{s:b}", "force", 1), CLIENT_TIMEOUT_MS,
				 NULL, err);

	/* The VM may end before it answers. */
	if (status < 0 && status != -EPIPE)
		return status;
	status = client_wait_end(client, FORCE_TIMEOUT_MS);
	return status < 0 ? error_set_errno(err, status, "the VM does not end") : 0;
}

static int stop(struct client *client, const struct command_input *input, struct error *err)
{
	json_t *given = json_object_get(input->request, "timeout");
	unsigned seconds = given ? (unsigned)json_integer_value(given) : DEFAULT_TIMEOUT_S;
	int status;

	if (json_object_get(input->request, "force"))
		return force(client, err);
	/* The VM presses the button again until the guest reacts: it may still boot. */
	status = client_call(client, "stop", json_pack("{s:I}", "timeout", (json_int_t)seconds),
			     CLIENT_TIMEOUT_MS, NULL, err);
	if (status == -EPIPE)
		return 0;
	if (status < 0 && status != -EOPNOTSUPP)
		return status;
	if (status == 0 && client_wait_end(client, seconds * 1000) == 0)
		return 0;
	if (status == 0)
		command_error("stop: '%s' did not power off within %u s; forcing it", input->vm,
			      seconds);
	else
		command_error("stop: '%s' has no power button; forcing it", input->vm);
	return force(client, err);
}

/* Like client_open(), but waits for a VM that is just starting. */
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

static int stop_run(const struct command *command, struct command_input *input)
{
	struct client client;
	struct error err;
	int status = open_started(&client, input->vm, &err);

	if (status == 0) {
		status = stop(&client, input, &err);
		client_close(&client);
	}
	if (status == 0)
		status = wait_name_free(input->vm, &err);
	if (status == 0)
		return COMMAND_SUCCESS;
	command_error("stop: %s", err.text);
	return COMMAND_FAILURE;
}

static const struct command stop_command = {
	.name = "stop",
	.summary = "Press a VM's power button; after a while, or at once, force it",
	.arguments = {.about = "Press a VM's power button and wait until it is off.",
		      .words = client_words,
		      .options = stop_options},
	.run = stop_run,
};
COMMAND(stop_command);
