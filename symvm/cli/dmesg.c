// SPDX-License-Identifier: BSD-2-Clause
/* `symvm dmesg NAME [--follow] [--json]` */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/client.h"
#include "cli/output.h"

#define FOLLOW_MS   500
#define ANSWERS_MAX 64u /* of a log that grows while it is read */

static const struct argument dmesg_options[] = {
	{.name = "follow",
	 .letter = 'f',
	 .type = ARGUMENT_FLAG,
	 .key = "follow",
	 .help = "Wait for further messages"},
	CLIENT_JSON,
	{0},
};

static int show(const struct command_input *input, json_t *answer)
{
	json_int_t lost = json_integer_value(json_object_get(answer, "lost"));
	json_t *line;
	size_t i;

	if (input->json) {
		output_json(answer);
	} else {
		if (lost)
			command_error("dmesg: the guest's log no longer has %lld messages",
				      (long long)lost);
		json_array_foreach(json_object_get(answer, "lines"), i, line)
			output_line("%s", output_text(line, "text", ""));
	}
	return fflush(stdout) == 0 ? 0 : -errno;
}

/* Appends the lines of @next to those of *@whole, and takes over its other values. */
static void join(json_t **whole, json_t *next)
{
	json_t *lines = json_object_get(*whole, "lines");

	if (*whole) {
		json_array_extend(lines, json_object_get(next, "lines"));
		json_object_set(next, "lines", lines);
		json_decref(*whole);
	}
	*whole = next;
}

/* All messages from *@from on, as one answer. */
static int ask_all(struct client *client, json_int_t *from, json_t **whole, struct error *err)
{
	json_t *answer;
	int status = 0;

	*whole = NULL;
	for (unsigned i = 0; i < ANSWERS_MAX && status == 0; i++) {
		status = client_call(client, "dmesg", json_pack("{s:I}", "from", *from),
				     CLIENT_TIMEOUT_MS, &answer, err);
		if (status < 0)
			break;
		join(whole, answer);
		*from = json_integer_value(json_object_get(answer, "next"));
		if (json_is_true(json_object_get(answer, "complete")))
			break;
	}
	if (status < 0) {
		json_decref(*whole);
		*whole = NULL;
	}
	return status;
}

static int dmesg_run(const struct command *command, struct command_input *input)
{
	const struct timespec pause = {.tv_nsec = FOLLOW_MS * 1000000L};
	bool follow = json_is_true(json_object_get(input->request, "follow"));
	struct client client;
	json_int_t from = 0;
	struct error err;
	json_t *answer;
	int status = client_open(&client, input->vm, &err);

	while (status == 0) {
		status = ask_all(&client, &from, &answer, &err);
		if (status == 0 && show(input, answer) < 0)
			follow = false;
		if (status == 0)
			json_decref(answer);
		if (!follow)
			break;
		nanosleep(&pause, NULL);
	}
	client_close(&client);
	if (status < 0)
		command_error("dmesg: %s", err.text);
	return status == 0 ? COMMAND_SUCCESS : COMMAND_FAILURE;
}

static const struct command dmesg_command = {
	.name = "dmesg",
	.summary = "Show the kernel log of a running guest, without its user space",
	.arguments =
		{.about = "Show the kernel log of a running guest. The guest's kernel answers, "
			  "so its user space need not work.",
		 .words = client_words,
		 .options = dmesg_options},
	.run = dmesg_run,
};
COMMAND(dmesg_command);
