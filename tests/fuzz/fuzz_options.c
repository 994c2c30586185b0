// SPDX-License-Identifier: BSD-2-Clause
/*
 * The command line of `symvm run`: any words. Each goes to the option parser and to the devices,
 * up to the point where they would touch the host: here no file can be opened, and no socket or
 * process made. A refusal has one line of words.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/run_options.h"
#include "devices/virtio/net/slirp.h"
#include "util/keyval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS 24

int open(const char *path, int flags, ...)
{
	errno = ENOENT;
	return -1;
}

int openat(int fd, const char *path, int flags, ...)
{
	errno = ENOENT;
	return -1;
}

int socket(int domain, int type, int protocol)
{
	errno = EPERM;
	return -1;
}

pid_t fork(void)
{
	errno = EPERM;
	return -1;
}

static void check_words(int status, const struct error *err)
{
	size_t length = strnlen(err->text, sizeof(err->text));

	if (status < 0 && (length == 0 || length == sizeof(err->text)))
		abort();
}

/* Makes each kind of device from the words. A step that needs a VM or the host fails, in words. */
static void try_devices(const struct run_options *options)
{
	static const char *const names[] = {"disk", "net", "swap"};

	for (size_t i = 0; i < options->device_count; i++) {
		const struct run_device *device = &options->devices[i];
		struct vm vm = {.config.name = (char *)"fuzz"};
		struct error err = {""};
		bool known = false;

		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			known = known || (device->class->option &&
					  strcmp(device->class->option, names[n]) == 0);
		if (!known || (device->argument && strncmp(device->argument, "user", 4) == 0))
			continue;
		log_init(&vm.log, -1, LOG_LEVEL_ERROR);
		if (device->class->create(&vm, device->argument, &err) == 0)
			abort();
		check_words(-1, &err);
	}
}

static void try_fields(const char *text)
{
	struct keyval_list list = {0};
	char *first = NULL, *second = NULL;
	uint64_t size = 0, number = 0;
	bool flag = false;
	struct error err = {""};
	const struct keyval_field fields[] = {
		{.key = "first", .type = KEYVAL_TEXT, .value = &first},
		{.key = "s", .type = KEYVAL_TEXT, .value = &second, .repeated_last = true},
		{.key = "size", .type = KEYVAL_SIZE, .value = &size},
		{.key = "n", .type = KEYVAL_NUMBER, .value = &number},
		{.key = "flag", .type = KEYVAL_FLAG, .value = &flag},
		{.key = "list", .type = KEYVAL_LIST, .value = &list},
		{0},
	};
	int status = keyval_parse("fuzz", text, fields, &err);

	check_words(status, &err);
	if (status < 0 && (first || second || list.count))
		abort();
	free(first);
	free(second);
	keyval_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *argv[WORDS + 1] = {(char *)"run"};
	struct run_options options;
	struct error err = {""};
	int argc = 1, status;

	memcpy(text, data, size);
	text[size] = '\0';
	try_fields(text);
	for (char *at = text; argc < WORDS && at; argc++) {
		argv[argc] = at;
		at = strchr(at, '\n');
		if (at)
			*at++ = '\0';
		/* Prints the whole help. */
		if (strncmp(argv[argc], "--h", 3) == 0 || strncmp(argv[argc], "-?", 2) == 0)
			argv[argc] = (char *)"--paused";
	}
	status = run_options_parse(argc, argv, &options, &err);
	if (status < 0)
		check_words(status, &err);
	else if (status == 0)
		try_devices(&options);
	run_options_free(&options);
	free(text);
	return 0;
}
