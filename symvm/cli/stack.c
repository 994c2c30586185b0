// SPDX-License-Identifier: BSD-2-Clause
/* `symvm stack NAME [PID] [--vcpu N] [--json]` */
#include "cli/client.h"
#include "cli/output.h"

static const struct argument stack_words[] = {
	CLIENT_NAME,
	{.name = "PID",
	 .type = ARGUMENT_NUMBER,
	 .metavar = "PID",
	 .key = "pid",
	 .minimum = 1,
	 .maximum = INT32_MAX,
	 .help = "a process or thread of the guest (see 'symvm ps'); without it a vCPU's stack",
	 .optional = true},
	{0},
};

static const struct argument stack_options[] = {
	{.name = "vcpu",
	 .letter = 'c',
	 .type = ARGUMENT_NUMBER,
	 .metavar = "N",
	 .key = "vcpu",
	 .help = "Of this vCPU (default: 0)"},
	CLIENT_JSON,
	{0},
};

static const char *state_words(char state)
{
	switch (state) {
	case 'R':
		return "ready to run";
	case 'S':
		return "sleeps";
	case 'D':
		return "sleeps, cannot be interrupted";
	case 'T':
		return "stopped";
	case 't':
		return "stopped by a debugger";
	case 'X':
		return "dead";
	case 'Z':
		return "zombie";
	case 'P':
		return "parked";
	case 'I':
		return "idle kernel thread";
	default:
		return "unknown";
	}
}

static void print_task(json_t *task)
{
	const char *state = output_text(task, "state", "?");
	const char *channel = output_text(task, "wait_channel", NULL);
	json_int_t cpu = json_integer_value(json_object_get(task, "cpu"));
	json_int_t tgid = json_integer_value(json_object_get(task, "tgid"));

	output_field(0, "task", "%s", output_text(task, "comm", "?"));
	if (tgid != json_integer_value(json_object_get(task, "pid")))
		output_field(0, "thread of process", "%lld", (long long)tgid);
	if (json_is_true(json_object_get(task, "running")))
		output_field(0, "state", "runs on CPU %lld%s", (long long)cpu,
			     json_is_true(json_object_get(task, "in_user")) ? ", in user mode"
									    : "");
	else
		output_field(0, "state", "%s (%s)", state, state_words(*state));
	if (channel)
		output_field(0, "waits in", "%s", channel);
}

static void print_stack(json_t *answer)
{
	bool is_task = json_object_get(answer, "pid") != NULL;
	json_t *frames = json_object_get(answer, "frames"), *frame;
	size_t i;

	if (is_task)
		print_task(answer);
	else if (json_array_size(frames) == 0)
		output_field(0, "state", "in user mode");
	json_array_foreach(frames, i, frame)
		output_line("%s", json_string_value(frame) ? json_string_value(frame) : "?");
}

static const struct command stack_command = {
	.name = "stack",
	.summary = "Show the kernel stack of a guest's task, without its user space",
	.arguments = {.about = "Show the kernel stack of a task of a running guest, with its state "
			       "and the function in which it waits, or that of a vCPU.",
		      .words = stack_words,
		      .options = stack_options},
	.run = client_run,
	.print = print_stack,
};
COMMAND(stack_command);
