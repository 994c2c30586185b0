// SPDX-License-Identifier: BSD-2-Clause
/* `symvm ps NAME [--threads] [--tree] [--args] [--json]` */
#include "cli/client.h"
#include "cli/describe.h"
#include "cli/output.h"
#include "cli/ps_tree.h"

#define DEPTH_SHOWN 32 /* deeper tasks are not moved further to the right */

static const struct argument ps_options[] = {
	{.name = "threads",
	 .letter = 'T',
	 .type = ARGUMENT_FLAG,
	 .key = "threads",
	 .help = "List threads, not only processes"},
	{.name = "tree",
	 .letter = 't',
	 .type = ARGUMENT_FLAG,
	 .key = "tree",
	 .help = "Children follow their parent"},
	{.name = "args",
	 .letter = 'a',
	 .type = ARGUMENT_FLAG,
	 .key = "args",
	 .help = "Show command lines, not only names"},
	CLIENT_JSON,
	{0},
};

static json_int_t number_of(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* A kernel thread has no command line; that of a thread is its process's. */
static json_t *command_of(json_t *task, bool with_args)
{
	bool kernel = json_is_true(json_object_get(task, "kernel_thread"));
	bool cut = json_is_true(json_object_get(task, "args_cut"));
	const char *args = with_args ? output_text(task, "args", NULL) : NULL;
	json_int_t depth = number_of(task, "depth");
	int indent = 2 * (int)(depth > DEPTH_SHOWN ? DEPTH_SHOWN : depth);

	if (args)
		return json_sprintf("%*s%s%s", indent, "", args, cut ? "..." : "");
	return json_sprintf("%*s%s%s%s", indent, "", kernel ? "[" : "",
			    output_text(task, "comm", "?"), kernel ? "]" : "");
}

/* The columns that are not simply a key of @task. Returns whether the task waits somewhere. */
static bool add_shown(json_t *task, bool with_args)
{
	double ns = (double)number_of(task, "utime_ns") + (double)number_of(task, "stime_ns");
	const char *channel = output_text(task, "wait_channel", NULL);

	json_object_set_new(task, "rss_kib", json_integer(number_of(task, "rss") / 1024));
	json_object_set_new(task, "time_ms", json_sprintf("%.0f", ns / 1e6));
	json_object_set_new(task, "channel", json_string(channel ? channel : "-"));
	json_object_set_new(task, "command", command_of(task, with_args));
	return channel;
}

#define NUMBERS                                                                               \
	{"PID", true, "pid", DESCRIBE_NUMBER}, {"PPID", true, "ppid", DESCRIBE_NUMBER},       \
		{"UID", true, "uid", DESCRIBE_NUMBER}, {"S", false, "state", DESCRIBE_COUNT}, \
		{"CPU", true, "cpu", DESCRIBE_NUMBER},                                        \
		{"RSS/KiB", true, "rss_kib", DESCRIBE_NUMBER},                                \
	{                                                                                     \
		"TIME/ms", true, "time_ms", DESCRIBE_COUNT                                    \
	}

/* The guest's module may be too old to say where tasks wait. */
static void print_ps(json_t *tasks, bool with_args)
{
	static const struct describe_column columns[] = {
		NUMBERS,
		{"COMMAND", false, "command", DESCRIBE_COUNT},
	};
	static const struct describe_column with_channel[] = {
		NUMBERS,
		{"WAITS IN", false, "channel", DESCRIBE_COUNT},
		{"COMMAND", false, "command", DESCRIBE_COUNT},
	};
	bool channels = false;
	json_t *task;
	size_t i;

	json_array_foreach(tasks, i, task)
		channels = add_shown(task, with_args) || channels;
	if (channels)
		describe_table(tasks, with_channel, sizeof(with_channel) / sizeof(*with_channel));
	else
		describe_table(tasks, columns, sizeof(columns) / sizeof(*columns));
}

static void show(const struct command_input *input, json_t *answer)
{
	json_t *options = input->request;
	json_t *tasks = json_object_get(answer, "tasks"), *tree = NULL;

	if (input->json) {
		output_json(answer);
		return;
	}
	if (json_is_true(json_object_get(options, "tree")))
		tree = ps_tree(tasks);
	print_ps(tree ? tree : tasks, json_is_true(json_object_get(options, "args")));
	json_decref(tree);
}

static int ps_run(const struct command *command, struct command_input *input)
{
	json_t *threads = json_object_get(input->request, "threads"), *request = json_object();
	struct error err;
	json_t *answer;

	if (threads)
		json_object_set(request, "threads", threads);
	if (client_ask(input->vm, "ps", request, &answer, &err) < 0) {
		command_error("ps: %s", err.text);
		return COMMAND_FAILURE;
	}
	show(input, answer);
	json_decref(answer);
	return COMMAND_SUCCESS;
}

static const struct command ps_command = {
	.name = "ps",
	.summary = "List the processes of a running guest, without an agent",
	.arguments = {.about = "List the processes of a running guest, with the kernel function in "
			       "which each one waits. With --json, --tree and --args change "
			       "nothing.",
		      .words = client_words,
		      .options = ps_options},
	.run = ps_run,
};
COMMAND(ps_command);
