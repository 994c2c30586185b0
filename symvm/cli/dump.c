// SPDX-License-Identifier: BSD-2-Clause
/*
 * `symvm dump NAME FILE`. The VM's jail allows it no path, so this process opens the file and
 * passes it. The file has the name FILE.part until it is complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/format.h"
#include "cli/output.h"
#include "control/passing.h"

#define DUMP_TIMEOUT_MS 3610000u /* the VM gives up before */

static const struct argument dump_words[] = {
	CLIENT_NAME,
	{.name = "FILE",
	 .type = ARGUMENT_TEXT,
	 .metavar = "FILE",
	 .key = "file",
	 .help = "the file that is made; it must not exist"},
	{0},
};

/*
 * The pages of a file in RAM count against the memory limit of the process that writes them: such a
 * dump would make the host kill the VM.
 */
static int check_place(struct client *client, int fd, const char *path, struct error *err)
{
	json_t *info = NULL;
	struct statfs fs;
	bool limited;
	int status;

	if (fstatfs(fd, &fs) < 0 || (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC))
		return 0;
	status = client_call(client, "info", NULL, CLIENT_TIMEOUT_MS, &info, err);
	if (status < 0)
		return status;
	limited = json_integer_value(
			  json_object_get(json_object_get(info, "jail"), "memory_limit")) > 0;
	json_decref(info);
	return limited ? error_set(
				 err, -ENOSPC,
				 "'%s' is in RAM, and would count against the memory limit of the "
				 "VM; choose a file on a disk",
				 path)
		       : 0;
}

static int dump(const char *vm, int fd, const char *path, json_t **answer, struct error *err)
{
	struct client client;
	int status = client_open(&client, vm, err);

	if (status < 0)
		return status;
	status = check_place(&client, fd, path, err);
	if (status == 0) {
		status = control_pass_file(client.fd, fd);
		if (status < 0)
			error_set_errno(err, status, "cannot pass '%s'", path);
	}
	if (status == 0)
		status = client_call(&client, "dump", NULL, DUMP_TIMEOUT_MS, answer, err);
	client_close(&client);
	return status;
}

/* Without replacing a file that came meanwhile. */
static int rename_part(const char *part, const char *path, struct error *err)
{
	if (link(part, path) == 0) {
		unlink(part);
		return 0;
	}
	/* A file system without hard links. */
	if ((errno == EPERM || errno == EOPNOTSUPP) && access(path, F_OK) < 0 &&
	    rename(part, path) == 0)
		return 0;
	return error_set_errno(err, -errno, "cannot rename '%s' to '%s'", part, path);
}

static void print_answer(json_t *answer, const char *path)
{
	char size[32], written[32];

	format_size(size, sizeof(size),
		    (uint64_t)json_integer_value(json_object_get(answer, "size")));
	format_size(written, sizeof(written),
		    (uint64_t)json_integer_value(json_object_get(answer, "written")));
	output_field(0, "file", "%s", path);
	output_field(0, "size", "%s, of that written %s", size, written);
	if (!json_is_true(json_object_get(answer, "vmcoreinfo")))
		command_error("dump: the guest has no VMCOREINFO: crash and drgn may not "
			      "understand its memory");
}

static int dump_to(const struct command_input *input, const char *path, const char *part,
		   struct error *err)
{
	struct stat there;
	json_t *answer = NULL;
	int fd, status;

	if (lstat(path, &there) == 0)
		return error_set(err, -EEXIST, "'%s' exists already", path);
	fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, -errno, "cannot make '%s'", part);
	status = dump(input->vm, fd, path, &answer, err);
	close(fd);
	if (status == 0)
		status = rename_part(part, path, err);
	if (status < 0)
		unlink(part);
	else if (input->json)
		output_json(answer);
	else
		print_answer(answer, path);
	json_decref(answer);
	return status;
}

static int dump_run(const struct command *command, struct command_input *input)
{
	const char *path = json_string_value(json_object_get(input->request, "file"));
	struct error err;
	char *part = NULL;
	int status = -ENOMEM;

	if (asprintf(&part, "%s.part", path) < 0)
		error_set(&err, status, "out of memory");
	else
		status = dump_to(input, path, part, &err);
	free(part);
	if (status == 0)
		return COMMAND_SUCCESS;
	command_error("dump: %s", err.text);
	return COMMAND_FAILURE;
}

static const struct command dump_command = {
	.name = "dump",
	.summary = "Write a guest's memory and registers to a file for crash and drgn",
	.arguments =
		{.about = "Write a guest's memory and registers to a file, as an ELF vmcore for "
			  "crash(8) and drgn(1). The vCPUs stop meanwhile. Pages of zeros take "
			  "no room in the file.",
		 .words = dump_words,
		 .options = client_json_options},
	.run = dump_run,
};
COMMAND(dump_command);
