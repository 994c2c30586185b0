// SPDX-License-Identifier: BSD-2-Clause
/* Consoles on standard streams: terminals, whose modes are restored, jobs of a shell, pipes. */
#include "stand_ins.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "chardev_user.h"
#include "devices/chardev_internal.h"

static void a_silent_reader_costs_a_second_at_most(void **state)
{
	static uint8_t data[8192];
	int saved = dup(STDOUT_FILENO), ends[2];
	struct chardev *chardev;
	struct timespec start, end;
	json_t *object = json_object();

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	chardev = open_it("stdio");
	dup2(saved, STDOUT_FILENO);
	chardev_flush(chardev);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(chardev_write(chardev, data, sizeof(data), true), sizeof(data));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_in_range(end.tv_sec - start.tv_sec, 1, 3);
	chardev_describe(chardev, object);
	assert_true(json_integer_value(json_object_get(object, "bytes_dropped")) >= 300000);
	json_decref(object);
	close(ends[0]);
	close(ends[1]);
	close(saved);
	signal(SIGPIPE, SIG_IGN);
	close_it(chardev);
}

static bool is_raw(int fd)
{
	struct termios mode;

	assert_int_equal(tcgetattr(fd, &mode), 0);
	return !(mode.c_lflag & (ICANON | ECHO | ISIG));
}

/* A terminal in place of the standard streams, with a console on it. */
struct typing {
	int primary, terminal, saved_in, saved_out;
	struct chardev *chardev;
};

static struct typing typing_begin(void)
{
	struct typing typing = {.saved_in = dup(0), .saved_out = dup(1)};

	assert_int_equal(openpty(&typing.primary, &typing.terminal, NULL, NULL, NULL), 0);
	dup2(typing.terminal, 0);
	dup2(typing.terminal, 1);
	typing.chardev = open_it("stdio");
	dup2(typing.saved_out, 1);
	return typing;
}

/* Types @keys, and runs the console until it asks for the VM's end. */
static void typing_run(const struct typing *typing, const char *keys)
{
	ssize_t length = (ssize_t)strlen(keys);

	assert_int_equal(write(typing->primary, keys, (size_t)length), length);
	event_loop_run(loop);
	assert_true(quit_asked);
}

static void typing_end(const struct typing *typing)
{
	close_it(typing->chardev);
	assert_false(is_raw(typing->terminal));
	dup2(typing->saved_in, 0);
	close(typing->primary);
	close(typing->terminal);
	close(typing->saved_in);
	close(typing->saved_out);
}

static void escapes_end_the_vm(void **state)
{
	struct typing typing = typing_begin();

	assert_true(is_raw(typing.terminal));
	typing_run(&typing, "a\x01\x01"
			    "b\x01zc\x03\x01x");
	assert_int_equal(received_count, 5);
	assert_memory_equal(received,
			    "a\x01"
			    "bc\x03",
			    5);
	typing_end(&typing);
}

static int refused_fd = -1;

/* In place of libc's: the next read of @refused_fd fails as that of a background job. */
ssize_t read(int fd, void *data, size_t size)
{
	if (fd != refused_fd)
		return syscall(SYS_read, fd, data, size);
	refused_fd = -1;
	errno = EIO;
	return -1;
}

/* The job is put into the foreground between its read and its look who has the terminal. */
static void a_job_that_comes_to_the_foreground_continues_to_read(void **state)
{
	struct typing typing = typing_begin();

	refused_fd = typing.chardev->host.input_fd;
	typing_run(&typing, "\x01x");
	assert_int_equal(refused_fd, -1);
	typing_end(&typing);
}

static void a_killed_process_leaves_the_terminal_right(void **state)
{
	int primary, terminal, status, ready[2];
	char byte;
	pid_t child;

	assert_int_equal(openpty(&primary, &terminal, NULL, NULL, NULL), 0);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		dup2(terminal, 0);
		dup2(terminal, 1);
		open_it("stdio");
		if (write(ready[1], "r", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_true(is_raw(terminal));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	for (unsigned i = 0; i < 2000 && is_raw(terminal); i++)
		usleep(1000);
	assert_false(is_raw(terminal));
	close(primary);
	close(terminal);
}

/* A process that is the leader of a session of its own, on the terminal @name. */
static void take_terminal(int terminal)
{
	setsid();
	ioctl(terminal, TIOCSCTTY, 0);
	dup2(terminal, 0);
	dup2(terminal, 1);
}

/* The VM's process: reads the terminal until Ctrl-A x. Reports the number of keys. */
static void run_console(int told)
{
	struct chardev *chardev = open_it("stdio");
	uint8_t count;

	if (write(told, "r", 1) != 1)
		_exit(1);
	event_loop_run(loop);
	count = (uint8_t)received_count;
	close_it(chardev);
	_exit(write(told, &count, 1) == 1 ? 0 : 1);
}

static void wait_for_mode(int terminal, bool raw)
{
	for (unsigned i = 0; i < 20000 && is_raw(terminal) != raw; i++)
		usleep(1000);
	assert_int_equal(is_raw(terminal), raw);
}

static uint8_t told_byte(int fd)
{
	uint8_t byte = 0;

	assert_int_equal(read(fd, &byte, 1), 1);
	return byte;
}

static void a_stopped_job_leaves_the_terminal_right(void **state)
{
	int primary, terminal, status, told[2];
	pid_t child;

	assert_int_equal(openpty(&primary, &terminal, NULL, NULL, NULL), 0);
	assert_int_equal(pipe(told), 0);
	child = fork();
	if (child == 0) {
		take_terminal(terminal);
		run_console(told[1]);
	}
	assert_int_equal(told_byte(told[0]), 'r');
	wait_for_mode(terminal, true);
	kill(child, SIGTSTP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	assert_false(is_raw(terminal));
	kill(child, SIGCONT);
	wait_for_mode(terminal, true);
	assert_int_equal(write(primary, "ab\x01x", 4), 4);
	assert_int_equal(told_byte(told[0]), 2);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(is_raw(terminal));
	close(primary);
	close(terminal);
	close(told[0]);
	close(told[1]);
}

/* A shell with one job in the background; @orders says when it becomes the one in the foreground.
 */
static void shell(int terminal, int orders, int told)
{
	pid_t job;
	int status;
	char byte;

	take_terminal(terminal);
	signal(SIGTTOU, SIG_IGN);
	job = fork();
	if (job == 0) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_DFL);
		run_console(told);
	}
	setpgid(job, job);
	if (read(orders, &byte, 1) != 1)
		_exit(1);
	/* Typed for the shell while the job runs: the job must not read it. */
	if (byte == 'f')
		tcsetpgrp(0, job);
	if (waitpid(job, &status, WUNTRACED) != job || WIFSTOPPED(status))
		_exit(2);
	_exit(status ? 3 : 0);
}

static void a_background_job_leaves_the_terminal_alone(void **state)
{
	int primary, terminal, status, told[2], orders[2];
	char line[8] = "";
	pid_t child;

	assert_int_equal(openpty(&primary, &terminal, NULL, NULL, NULL), 0);
	assert_int_equal(pipe(told), 0);
	assert_int_equal(pipe(orders), 0);
	child = fork();
	if (child == 0)
		shell(terminal, orders[0], told[1]);
	assert_int_equal(told_byte(told[0]), 'r');
	assert_false(is_raw(terminal));
	assert_int_equal(write(primary, "ls\n", 3), 3);
	usleep(100000);
	/* The shell can still read it, and the job was not stopped by looking. */
	assert_false(is_raw(terminal));
	assert_int_equal(read(terminal, line, 3), 3);
	assert_memory_equal(line, "ls\n", 3);
	assert_int_equal(write(orders[1], "f", 1), 1);
	wait_for_mode(terminal, true);
	assert_int_equal(write(primary, "abc\x01x", 5), 5);
	assert_int_equal(told_byte(told[0]), 3);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(is_raw(terminal));
	close(primary);
	close(terminal);
}

static void flags_of_shared_streams_stay(void **state)
{
	int in[2], out[2], saved_in = dup(0), saved_out = dup(1);
	struct chardev *chardev;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	dup2(in[0], 0);
	dup2(out[1], 1);
	chardev = open_it("stdio");
	assert_false(fcntl(in[0], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(out[1], F_GETFL) & O_NONBLOCK);
	/* Closed for good at the end of its input, and no loop spins on it. */
	close(in[1]);
	event_loop_post(loop, (event_function)event_loop_quit, loop);
	event_loop_run(loop);
	close_it(chardev);
	dup2(saved_in, 0);
	dup2(saved_out, 1);
	close(in[0]);
	close(out[0]);
	close(out[1]);
	close(saved_in);
	close(saved_out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_silent_reader_costs_a_second_at_most),
		cmocka_unit_test(escapes_end_the_vm),
		cmocka_unit_test(a_job_that_comes_to_the_foreground_continues_to_read),
		cmocka_unit_test(a_killed_process_leaves_the_terminal_right),
		cmocka_unit_test(a_stopped_job_leaves_the_terminal_right),
		cmocka_unit_test(a_background_job_leaves_the_terminal_alone),
		cmocka_unit_test(flags_of_shared_streams_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
