// SPDX-License-Identifier: BSD-2-Clause
/*
 * A hostile VM that answers each command that asks it with any bytes. Whatever it answers, the
 * command ends, and prints nothing that a terminal would take for a terminal's command.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/command.h"
#include "control/state_dir.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *answer;
static size_t answer_size;
static struct state_name state;

/* In place of the VM's socket: a socket that has the answer, and then ends. */
int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length)
{
	int ends[2];
	int room = 1 << 20;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (send(ends[1], answer, answer_size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		abort();
	shutdown(ends[1], SHUT_WR);
	dup2(ends[0], fd);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* No printed byte begins an escape sequence, in ASCII or UTF-8. */
static ssize_t look(void *opaque, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];

		if ((byte < ' ' && byte != '\n' && byte != '\t') || byte == 0x7f)
			abort();
		if (byte == 0xc2 && i + 1 < length && (unsigned char)text[i + 1] >= 0x80 &&
		    (unsigned char)text[i + 1] < 0xa0)
			abort();
	}
	return (ssize_t)length;
}

static FILE *watched(void)
{
	static char buffer[1 << 16];
	const cookie_io_functions_t functions = {.write = look};
	FILE *stream = fopencookie(NULL, "w", functions);

	setvbuf(stream, buffer, _IOFBF, sizeof(buffer));
	return stream;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char directory[] = "/tmp/symvm-fuzz-XXXXXX";
	struct error err;

	if (!mkdtemp(directory))
		abort();
	setenv("SYMVM_RUNTIME_DIR", directory, 1);
	if (state_name_claim(&state, "vm", &err) < 0)
		abort();
	stdout = watched();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const lines[][6] = {
		{"info", "vm"},
		{"info", "vm", "--json"},
		{"list"},
		{"list", "--json"},
		{"ps", "vm"},
		{"ps", "vm", "--json"},
		{"who", "vm", "--port", "0x3f8", "--stack"},
		{"call", "vm", "whoami"},
		{"call", "vm", "stack"},
		{"call", "vm", "meminfo"},
		{"swap", "vm"},
		{"memory", "vm"},
		{"metrics", "vm"},
		{"pause", "vm"},
		{"resume", "vm"},
		{"exits", "vm", "--stack"},
		{"exits", "vm", "--folded"},
	};
	const char *const *line;
	const struct command *command;
	char *argv[7] = {0};
	FILE *errors = stderr;
	int argc = 0;

	if (size < 1)
		return 0;
	line = lines[data[0] % (sizeof(lines) / sizeof(lines[0]))];
	answer = data + 1;
	answer_size = size - 1;
	for (; argc < 6 && line[argc]; argc++)
		argv[argc] = (char *)line[argc];
	command = command_find(line[0]);
	if (!command)
		abort();
	stderr = stdout;
	command_run(command, argc, argv);
	fflush(stdout);
	stderr = errors;
	return 0;
}
