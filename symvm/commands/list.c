// SPDX-License-Identifier: BSD-2-Clause
/* `symvm list [--json]`: the running VMs of this user. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/client.h"
#include "commands/format.h"
#include "control/state_dir.h"
#include "machine/vm.h"

#define KEY_JSON	256
#define LIST_TIMEOUT_MS 2000u

struct list_options {
	bool json;
};

static error_t parse_list(int key, char *arg, struct argp_state *state)
{
	struct list_options *options = state->input;

	if (key != KEY_JSON)
		return ARGP_ERR_UNKNOWN;
	options->json = true;
	return 0;
}

/* What a VM says about itself, or, where it can't, its name and why. New reference. */
static json_t *ask_vm(const char *name)
{
	struct client client;
	struct error err;
	json_t *info = NULL;
	int status = client_open(&client, name, &err);

	if (status == -ENOENT)
		return NULL; /* it ended between our looking and our asking */
	if (status == 0) {
		status = client_call(&client, "info", NULL, LIST_TIMEOUT_MS, &info, &err);
		client_close(&client);
	}
	if (status == -EPIPE)
		return NULL;
	if (status < 0)
		info = json_pack("{s:s, s:s, s:s}", "name", name, "state",
				 status == -EAGAIN ? "starting" : "unknown", "error", err.text);
	return info;
}

static int compare_vms(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The names of live VMs, sorted; the caller frees each and the list. */
static int collect_names(DIR *dir, char ***out, size_t *out_count)
{
	char **names = NULL;
	size_t count = 0;
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		char name[VM_NAME_MAX + 1];
		size_t length = strlen(entry->d_name);
		char **grown;

		if (length <= 5 || length - 5 > VM_NAME_MAX ||
		    strcmp(entry->d_name + length - 5, ".lock") != 0)
			continue;
		memcpy(name, entry->d_name, length - 5);
		name[length - 5] = '\0';
		if (!state_name_is_live(dirfd(dir), name))
			continue;
		grown = realloc(names, (count + 1) * sizeof(*names));
		if (grown)
			names = grown;
		if (!grown || !(names[count] = strdup(name)))
			break;
		count++;
	}
	if (count)
		qsort(names, count, sizeof(*names), compare_vms);
	*out = names;
	*out_count = count;
	return entry ? -ENOMEM : 0;
}

static int collect(json_t *list, struct error *err)
{
	char path[4096];
	int fd = state_dir_open(false, path, sizeof(path), err), status;
	char **names;
	size_t count;
	DIR *dir;

	if (fd == -ENOENT)
		return 0; /* no VM was ever started */
	if (fd < 0)
		return fd;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return error_set_errno(err, -errno, "cannot read '%s'", path);
	}
	status = collect_names(dir, &names, &count);
	for (size_t i = 0; i < count; i++) {
		json_t *info = status == 0 ? ask_vm(names[i]) : NULL;

		if (info)
			json_array_append_new(list, info);
		free(names[i]);
	}
	free(names);
	closedir(dir);
	return status < 0 ? error_set_errno(err, status, "cannot list the VMs") : 0;
}

static void print_table(json_t *list)
{
	json_t *vm;
	size_t i;

	printf("%-20s %8s %-8s %10s %5s %10s\n", "NAME", "PID", "STATE", "UPTIME", "CPUS",
	       "MEMORY");
	json_array_foreach(list, i, vm)
	{
		char uptime[32], memory[32];

		format_duration(uptime, sizeof(uptime),
				json_number_value(json_object_get(vm, "uptime_seconds")));
		format_size(memory, sizeof(memory),
			    (uint64_t)json_integer_value(
				    json_object_get(json_object_get(vm, "memory"), "size")));
		printf("%-20s %8lld %-8s %10s %5lld %10s\n",
		       json_string_value(json_object_get(vm, "name")),
		       json_integer_value(json_object_get(vm, "pid")),
		       json_string_value(json_object_get(vm, "state")), uptime,
		       json_integer_value(json_object_get(vm, "cpus")), memory);
	}
}

static int list_run(int argc, char **argv)
{
	static const struct argp_option table[] = {
		{"json", KEY_JSON, NULL, 0, "Print JSON: what 'symvm info --json' prints of each",
		 0},
		{0},
	};
	const struct argp argp = {
		.options = table, .parser = parse_list, .doc = "List the running VMs."};
	struct list_options options = {0};
	struct error err;
	json_t *list;
	int status = command_parse_or_report(&argp, argc, argv, &options, &err);

	if (status >= 0)
		return status;
	list = json_array();
	status = collect(list, &err);
	if (status < 0)
		command_error("list: %s", err.text);
	else if (options.json)
		client_print_json(list);
	else
		print_table(list);
	json_decref(list);
	return status < 0 ? COMMAND_FAILURE : COMMAND_SUCCESS;
}

static const struct command list_command = {
	.name = "list",
	.arguments = "[--json]",
	.summary = "List the running VMs",
	.run = list_run,
};
COMMAND(list_command);
