// SPDX-License-Identifier: BSD-2-Clause
/* `symvm list [--all] [--json]`: the running VMs of this user, or of all. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/describe.h"
#include "cli/output.h"

#define LIST_TIMEOUT_MS 2000u

static const struct argument list_options[] = {
	{.name = "all",
	 .type = ARGUMENT_FLAG,
	 .key = "all",
	 .help = "Also list VMs of other users, as USER/NAME, as far as this user may see them "
		 "(root: all)"},
	{.name = "json",
	 .type = ARGUMENT_FLAG,
	 .help = "Print JSON: what 'symvm info --json' prints of each",
	 ARGUMENT_INTO(struct command_input, json)},
	{0},
};

/* The VM's `info`, or why it cannot be asked. NULL if the VM has ended. New reference. */
static json_t *ask_found(const struct state_found *found)
{
	struct client client;
	struct error err;
	json_t *info = NULL;
	int status = client_open_found(&client, found, LIST_TIMEOUT_MS, &err);

	if (status == 0) {
		status = client_call(&client, "info", NULL, LIST_TIMEOUT_MS, &info, &err);
		client_close(&client);
	}
	if (status == -EPIPE)
		return NULL;
	if (status < 0)
		info = json_pack("{s:s, s:s}", "state", status == -EAGAIN ? "starting" : "unknown",
				 "error", err.text);
	return info;
}

/* The address of @name of @uid: "NAME", or "USER/NAME" for another user. */
static void set_name(json_t *vm, uid_t uid, const char *name)
{
	const struct passwd *user = uid == geteuid() ? NULL : getpwuid(uid);
	json_t *text;

	if (uid == geteuid())
		text = json_string(name);
	else if (user)
		text = json_sprintf("%s/%s", user->pw_name, name);
	else
		text = json_sprintf("%u/%s", (unsigned)uid, name);
	/* Replaces the name that the VM gives itself. */
	json_object_set_new(vm, "name", text);
}

static void add_vm(void *opaque, uid_t uid, const char *dir, const char *name, pid_t pid)
{
	struct state_found found = {.uid = uid, .name = name};
	json_t *list = opaque, *vm;

	if (dir) {
		found.dir_fd = state_dir_open_at(dir, uid, true);
		if (found.dir_fd < 0)
			return; /* it ended after we found it */
		snprintf(found.dir, sizeof(found.dir), "%s", dir);
		vm = ask_found(&found);
		close(found.dir_fd);
	} else {
		vm = json_pack("{s:s, s:i, s:s}", "state", "lost", "pid", (int)pid, "error",
			       "its state files were removed; SIGTERM stops it");
	}
	if (!vm)
		return;
	set_name(vm, uid, name);
	json_array_append_new(list, vm);
}

/* What is wrong with a VM: why it cannot be asked, or its guest's panic. Needs no free. */
static const char *note_of(json_t *vm)
{
	const char *error = output_text(vm, "error", "");

	return *error ? error : output_text(vm, "panic", "");
}

static void print_table(json_t *list)
{
	static const struct describe_column columns[] = {
		{"NAME", false, "name", DESCRIBE_COUNT},
		{"PID", true, "pid", DESCRIBE_NUMBER},
		{"STATE", false, "state", DESCRIBE_COUNT},
		{"UPTIME", true, "uptime_seconds", DESCRIBE_SECONDS},
		{"CPUS", true, "cpus", DESCRIBE_NUMBER},
		{"MEMORY", true, "memory_bytes", DESCRIBE_BYTES},
	};
	static const struct describe_column lease_column = {"LEASE", true, "lease_bytes",
							    DESCRIBE_BYTES};
	static const struct describe_column note_column = {"NOTE", false, "note", DESCRIBE_COUNT};
	struct describe_column shown[DESCRIBE_COLUMNS_MAX];
	size_t count = sizeof(columns) / sizeof(columns[0]), i;
	bool notes = false, leases = false;
	json_t *vm;

	json_array_foreach(list, i, vm) {
		json_t *lease = json_object_get(json_object_get(vm, "broker"), "lease_bytes");
		const char *note = note_of(vm);

		notes = notes || *note;
		json_object_set(vm, "memory_bytes",
				json_object_get(json_object_get(vm, "memory"), "size"));
		leases = leases || lease;
		if (lease)
			json_object_set(vm, "lease_bytes", lease);
		json_object_set_new(
			vm, "note",
			json_sprintf(json_object_get(vm, "panic") ? "panicked: %s" : "%s", note));
	}
	memcpy(shown, columns, sizeof(columns));
	/* Columns that only some VMs fill. */
	if (leases)
		shown[count++] = lease_column;
	if (notes)
		shown[count++] = note_column;
	describe_table(list, shown, count);
}

static int list_run(const struct command *command, struct command_input *input)
{
	bool all = json_is_true(json_object_get(input->request, "all"));
	json_t *list = json_array();
	struct error err;
	int status = state_find_each(all, add_vm, list, &err);

	if (status < 0)
		command_error("list: %s", err.text);
	else if (input->json)
		output_json(list);
	else
		print_table(list);
	json_decref(list);
	return status < 0 ? COMMAND_FAILURE : COMMAND_SUCCESS;
}

static const struct command list_command = {
	.name = "list",
	.summary = "List the running VMs",
	.arguments = {.about = "List the running VMs.", .options = list_options},
	.run = list_run,
};
COMMAND(list_command);
