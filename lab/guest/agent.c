// SPDX-License-Identifier: BSD-2-Clause
/*
 * The lab's first process. It starts the one command that the lab was booted for, and transports
 * the command's input, output and exit status over one virtio-serial port.
 *
 * Usage: agent PORT CONFIG_DIR. CONFIG_DIR holds argv and env (strings, each ended by NUL), cwd
 * (ended by NUL), and a file tty if the command needs a terminal. Frames in both directions: one
 * byte of type, four bytes of length (little endian), the data. lab/relay.py is the other end and
 * lists the types.
 *
 * One thread, one poll loop. The port is non-blocking, because in a blocking write to it the kernel
 * spins until the other side has read.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK	 16384
#define HEADER	 5
#define FILE_MAX (4 << 20)

enum frame_type {
	FRAME_READY = 'r',
	FRAME_STDIN = 'i',
	FRAME_STDIN_EOF = 'e',
	FRAME_WINDOW = 'w',
	FRAME_STDOUT = 'o',
	FRAME_STDERR = 'E',
	FRAME_EXIT = 'x',
};

struct agent {
	int port;
	int signals;
	bool tty;
	pid_t child;
	int in, out, err; /* our ends; -1 once closed; with a tty all but err are the master */
	/* Bytes that came from the port and are not yet used up. */
	uint8_t input[HEADER + CHUNK];
	size_t input_length;
	size_t stdin_done; /* bytes of the first frame that the child already has */
};

static void fail(const char *what)
{
	fprintf(stderr, "lab agent: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

static char *file_read(const char *directory, const char *name, size_t *length)
{
	char path[256];
	char *data = malloc(FILE_MAX + 1);
	size_t used = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || !data)
		fail(path);
	while (used < FILE_MAX && (n = read(fd, data + used, FILE_MAX - used)) > 0)
		used += (size_t)n;
	close(fd);
	data[used] = '\0';
	*length = used;
	return data;
}

/* Split NUL-ended strings into a NULL-ended vector that points into data. */
static char **strings_split(char *data, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += data[i] == '\0';
	char **vector = calloc(count + 1, sizeof(*vector));

	if (!vector)
		fail("memory");
	for (size_t i = 0; i < count; i++) {
		vector[i] = data;
		data += strlen(data) + 1;
	}
	return vector;
}

static void port_write(struct agent *a, const uint8_t *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(a->port, data, length);

		if (n > 0) {
			data += n;
			length -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = a->port, .events = POLLOUT};

			poll(&p, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			fail("port");
		}
	}
}

static void frame_send(struct agent *a, enum frame_type type, const void *data, uint32_t length)
{
	uint8_t frame[HEADER + CHUNK] = {(uint8_t)type};
	uint32_t wire = htole32(length);

	memcpy(frame + 1, &wire, sizeof(wire));
	memcpy(frame + HEADER, data, length);
	port_write(a, frame, HEADER + length);
}

/*
 * Forward the available bytes; close the descriptor at its end. Returns false if there were none.
 */
static bool output_forward(struct agent *a, int *fd, enum frame_type type)
{
	uint8_t data[CHUNK];
	ssize_t n = read(*fd, data, sizeof(data));

	if (n > 0) {
		frame_send(a, type, data, (uint32_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* With a terminal, EIO means that no process has it open any more. */
	close(*fd);
	*fd = -1;
	return false;
}

static void stdin_close(struct agent *a)
{
	if (a->in < 0)
		return;
	if (a->tty) {
		static const uint8_t end_of_file =
			4; /* the terminal takes this byte for the end of file */
		if (write(a->in, &end_of_file, 1) < 0)
			return;
	} else {
		close(a->in);
		a->in = -1;
	}
}

/* Give the child the rest of a stdin frame. Returns false if it takes no more for now. */
static bool stdin_give(struct agent *a, const uint8_t *data, size_t length)
{
	while (a->stdin_done < length && a->in >= 0) {
		ssize_t n = write(a->in, data + a->stdin_done, length - a->stdin_done);

		if (n >= 0) {
			a->stdin_done += (size_t)n;
		} else if (errno == EAGAIN) {
			return false;
		} else if (errno != EINTR) { /* it reads no more: the rest is dropped */
			if (!a->tty)
				close(a->in);
			a->in = -1;
		}
	}
	a->stdin_done = 0;
	return true;
}

/* Use up the whole frames in the buffer. Returns false if the first one must wait for the child. */
static bool frames_handle(struct agent *a)
{
	while (a->input_length >= HEADER) {
		uint32_t length;

		memcpy(&length, a->input + 1, sizeof(length));
		length = le32toh(length);
		if (length > CHUNK) {
			errno = EPROTO;
			fail("frame length");
		}
		if (a->input_length < HEADER + length)
			return true;
		const uint8_t *data = a->input + HEADER;

		if (a->input[0] == FRAME_STDIN && !stdin_give(a, data, length))
			return false;
		if (a->input[0] == FRAME_STDIN_EOF)
			stdin_close(a);
		if (a->input[0] == FRAME_WINDOW && length == 4 && a->tty) {
			struct winsize size = {.ws_row = (uint16_t)(data[0] | data[1] << 8),
					       .ws_col = (uint16_t)(data[2] | data[3] << 8)};
			ioctl(a->out, TIOCSWINSZ, &size);
		}
		a->input_length -= HEADER + length;
		memmove(a->input, a->input + HEADER + length, a->input_length);
	}
	return true;
}

static void port_read(struct agent *a)
{
	ssize_t n = read(a->port, a->input + a->input_length, sizeof(a->input) - a->input_length);

	if (n > 0)
		a->input_length += (size_t)n;
	else if (n == 0) {
		errno = EPIPE;
		fail("the other end of the port is gone");
	}
}

static _Noreturn void child_run(const char *config, const int fds[3])
{
	size_t length;
	char *data = file_read(config, "argv", &length);
	char **argv = strings_split(data, length);
	char *env = file_read(config, "env", &length);
	char **envp = strings_split(env, length);
	char *cwd = file_read(config, "cwd", &length);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (fds) {
		setsid();
		for (int i = 0; i < 3; i++)
			dup2(fds[i], i);
	}
	if (chdir(cwd)) {
		fprintf(stderr, "lab/run: %s: %s\n", cwd, strerror(errno));
		_exit(125);
	}
	environ = envp;
	execvp(argv[0], argv);
	fprintf(stderr, "lab/run: %s: %s\n", argv[0],
		errno == ENOENT ? "command not found" : strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void child_start(struct agent *a, const char *config)
{
	a->err = -1;
	if (a->tty) {
		a->child = forkpty(&a->out, NULL, NULL, NULL);
		if (a->child == 0)
			child_run(config, NULL);
		a->in = a->out;
	} else {
		int in[2], out[2], err[2];

		if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
			fail("pipe");
		a->child = fork();
		if (a->child == 0)
			child_run(config, (const int[3]){in[0], out[1], err[1]});
		close(in[0]);
		close(out[1]);
		close(err[1]);
		a->in = in[1];
		a->out = out[0];
		a->err = err[0];
		fcntl(a->err, F_SETFL, O_NONBLOCK);
	}
	if (a->child < 0)
		fail("fork");
	fcntl(a->out, F_SETFL, O_NONBLOCK);
	fcntl(a->in, F_SETFL, O_NONBLOCK);
}

/* Reap all children that ended. Returns true if the command itself did. */
static bool children_reap(struct agent *a, uint32_t *result)
{
	struct signalfd_siginfo info;
	bool ended = false;
	int status;
	pid_t pid;

	while (read(a->signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != a->child)
			continue;
		ended = true;
		*result = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status)
					    : 128u + (uint32_t)WTERMSIG(status);
	}
	return ended;
}

static uint32_t command_serve(struct agent *a)
{
	uint32_t result = 0;
	bool taking = true; /* the child can take input */

	for (;;) {
		struct pollfd p[] = {
			{.fd = a->signals, .events = POLLIN},
			{.fd = a->out, .events = POLLIN},
			{.fd = a->err, .events = POLLIN},
			{.fd = taking ? a->port : -1, .events = POLLIN},
			{.fd = taking ? -1 : a->in, .events = POLLOUT},
		};

		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0)
			continue;
		if (p[1].revents)
			output_forward(a, &a->out, FRAME_STDOUT);
		if (p[2].revents)
			output_forward(a, &a->err, FRAME_STDERR);
		if (p[3].revents)
			port_read(a);
		if (p[3].revents || p[4].revents)
			taking = frames_handle(a);
		if (p[0].revents && children_reap(a, &result))
			break;
	}
	/*
	 * Its descendants may still hold the pipes: take the bytes that are there, and don't wait.
	 */
	while (a->out >= 0 && output_forward(a, &a->out, FRAME_STDOUT))
		;
	while (a->err >= 0 && output_forward(a, &a->err, FRAME_STDERR))
		;
	return result;
}

int main(int argc, char **argv)
{
	struct agent a = {.in = -1};
	char path[256];
	sigset_t set;

	if (argc != 3) {
		errno = EINVAL;
		fail("usage: agent PORT CONFIG_DIR");
	}
	a.port = open(argv[1], O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (a.port < 0)
		fail(argv[1]);
	snprintf(path, sizeof(path), "%s/tty", argv[2]);
	a.tty = access(path, F_OK) == 0;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	a.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (a.signals < 0)
		fail("signalfd");

	frame_send(&a, FRAME_READY, "", 0);
	child_start(&a, argv[2]);
	uint32_t result = htole32(command_serve(&a));

	sync();
	frame_send(&a, FRAME_EXIT, &result, sizeof(result));
	for (;;)
		pause(); /* the other end ends the machine */
}
