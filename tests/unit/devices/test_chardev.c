// SPDX-License-Identifier: BSD-2-Clause
#include "stand_ins.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "devices/chardev.h"

static struct event_loop *loop;
static struct log test_log;
static uint8_t received[256];
static size_t received_count;
static bool quit_asked;

static size_t room(void *opaque)
{
	return sizeof(received) - received_count;
}

static void input(void *opaque, const uint8_t *data, size_t length)
{
	memcpy(received + received_count, data, length);
	received_count += length;
}

static void quit(void *opaque)
{
	quit_asked = true;
	event_loop_quit(loop);
}

static const struct chardev_ops ops = {.room = room, .input = input, .quit = quit};

static struct chardev *open_it(const char *spec)
{
	struct chardev *chardev = NULL;
	struct error err = {0};

	log_init(&test_log, 2, LOG_LEVEL_ERROR);
	received_count = 0;
	quit_asked = false;
	assert_int_equal(event_loop_create(&loop), 0);
	if (chardev_open("console", spec, loop, &test_log, &ops, NULL, &chardev, &err) < 0)
		fail_msg("%s", err.text);
	return chardev;
}

static void close_it(struct chardev *chardev)
{
	chardev_close(chardev);
	event_loop_destroy(loop);
}

static void bad_specs_are_named(void **state)
{
	static const char *const specs[] = {"",
					    "tty",
					    "file:",
					    "socket:",
					    "file:/nowhere/x",
					    "socket:/nowhere/x",
					    "stdio:",
					    "file:/tmp/x,max=",
					    "file:/tmp/x,max=1K",
					    "file:/tmp/x,max=lots"};
	char long_path[300] = "socket:/";
	struct chardev *chardev;
	struct error err;

	assert_int_equal(event_loop_create(&loop), 0);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		err.text[0] = '\0';
		assert_true(chardev_open("console", specs[i], loop, &test_log, &ops, NULL, &chardev,
					 &err) < 0);
		assert_non_null(strstr(err.text, "--console"));
	}
	memset(long_path + 8, 'a', sizeof(long_path) - 9);
	assert_int_equal(
		chardev_open("console", long_path, loop, &test_log, &ops, NULL, &chardev, &err),
		-ENAMETOOLONG);
	event_loop_destroy(loop);
}

static void a_socket_left_behind_is_replaced(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct chardev *chardev, *second;
	struct stat status;
	struct error err;
	char spec[128];

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test_character.%d.sock",
		 getpid());
	snprintf(spec, sizeof(spec), "socket:%s", address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	chardev = open_it(spec);
	assert_int_equal(stat(address.sun_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	/* One that is in use is not. */
	assert_int_equal(chardev_open("console", spec, loop, &test_log, &ops, NULL, &second, &err),
			 -EADDRINUSE);
	close_it(chardev);
	assert_int_equal(access(address.sun_path, F_OK), -1);
}

static void a_file_gets_everything(void **state)
{
	struct chardev *chardev;
	char path[64], spec[80], got[16] = {0};
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_character.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s", path);
	chardev = open_it(spec);
	for (unsigned i = 0; i < 200000; i += 10)
		chardev_write(chardev, (const uint8_t *)"0123456789", 10, false);
	chardev_flush(chardev);
	assert_int_equal(chardev_write(chardev, (const uint8_t *)"the end", 7, false), 7);
	close_it(chardev);
	fd = open(path, O_RDONLY);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(pread(fd, got, 7, status.st_size - 7), 7);
	assert_string_equal(got, "the end");
	close(fd);
	unlink(path);
}

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

static void *run_loop(void *opaque)
{
	event_loop_run(loop);
	return NULL;
}

static size_t no_room(void *opaque)
{
	return 0;
}

static const struct chardev_ops deaf_ops = {.room = no_room, .input = input, .quit = quit};

/* A console of a guest that takes no input, on a socket; the loop runs on a thread. */
static struct chardev *open_deaf(char *path, size_t size, pthread_t *thread)
{
	struct chardev *chardev = NULL;
	struct error err = {0};
	char spec[128];

	snprintf(path, size, "/tmp/test_character.%d.sock", getpid());
	snprintf(spec, sizeof(spec), "socket:%s", path);
	log_init(&test_log, 2, LOG_LEVEL_ERROR);
	received_count = 0;
	assert_int_equal(event_loop_create(&loop), 0);
	if (chardev_open("console", spec, loop, &test_log, &deaf_ops, NULL, &chardev, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(pthread_create(thread, NULL, run_loop, NULL), 0);
	return chardev;
}

static void close_deaf(struct chardev *chardev, pthread_t thread)
{
	event_loop_quit(loop);
	pthread_join(thread, NULL);
	close_it(chardev);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Whether a client gets what is written now. */
static bool sees(struct chardev *chardev, int fd, const char *text)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char got[64];

	chardev_write(chardev, (const uint8_t *)text, strlen(text), false);
	for (size_t have = 0; have < strlen(text);) {
		ssize_t count;

		if (poll(&ready, 1, 10000) != 1)
			return false;
		count = recv(fd, got, sizeof(got), 0);
		if (count <= 0)
			return false;
		have += (size_t)count;
	}
	return true;
}

/* Clients that type and leave, or only stop reading or writing, do not keep others out. */
static void a_client_that_leaves_lets_the_next_in(void **state)
{
	struct chardev *chardev;
	pthread_t thread;
	char path[64];

	chardev = open_deaf(path, sizeof(path), &thread);
	for (unsigned i = 0; i < 6; i++) {
		int fd = connect_to(path);

		assert_true(sees(chardev, fd, "hello\n"));
		assert_int_equal(send(fd, "keys", 4, MSG_NOSIGNAL), 4);
		if (i % 3 == 1)
			shutdown(fd, SHUT_WR);
		if (i % 3 == 2)
			shutdown(fd, SHUT_RD);
		/* With and without the time for the keys to be noticed. */
		usleep(i < 3 ? 30000 : 0);
		if (i % 3 == 2)
			chardev_write(chardev, (const uint8_t *)"x", 1, false);
		close(fd);
	}
	close_deaf(chardev, thread);
}

static size_t limited_room;

static size_t some_room(void *opaque)
{
	return limited_room;
}

/* What a client typed before it left reaches the guest, once that takes input. */
static void what_was_typed_before_is_kept(void **state)
{
	static const struct chardev_ops late_ops = {
		.room = some_room, .input = input, .quit = quit};
	struct chardev *chardev = NULL;
	struct error err = {0};
	char path[64], spec[128];
	pthread_t thread;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_character.%d.sock", getpid());
	snprintf(spec, sizeof(spec), "socket:%s", path);
	limited_room = 0;
	received_count = 0;
	assert_int_equal(event_loop_create(&loop), 0);
	assert_int_equal(
		chardev_open("console", spec, loop, &test_log, &late_ops, NULL, &chardev, &err), 0);
	assert_int_equal(pthread_create(&thread, NULL, run_loop, NULL), 0);
	fd = connect_to(path);
	assert_true(sees(chardev, fd, "hello\n"));
	assert_int_equal(send(fd, "reboot\n", 7, MSG_NOSIGNAL), 7);
	usleep(30000);
	close(fd);
	fd = connect_to(path);
	assert_true(sees(chardev, fd, "again\n"));
	limited_room = 64;
	chardev_resume(chardev);
	for (unsigned i = 0; i < 10000 && received_count < 7; i++)
		usleep(1000);
	close(fd);
	event_loop_quit(loop);
	pthread_join(thread, NULL);
	assert_int_equal(received_count, 7);
	assert_memory_equal(received, "reboot\n", 7);
	close_it(chardev);
}

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Without a descriptor for a client nothing spins; later it is let in. */
/* What is written while a client that has left is still served is lost: written again and again. */
static bool sees_at_last(struct chardev *chardev, int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	char byte;

	for (unsigned i = 0; i < 100; i++) {
		chardev_write(chardev, (const uint8_t *)"x", 1, false);
		chardev_flush(chardev);
		if (poll(&ready, 1, 200) == 1)
			return recv(fd, &byte, 1, 0) == 1;
	}
	return false;
}

static void out_of_descriptors(void **state)
{
	struct chardev *chardev;
	struct rlimit limit, none;
	pthread_t thread;
	char path[64];
	double before;
	int fd;

	chardev = open_deaf(path, sizeof(path), &thread);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	none = limit;
	none.rlim_cur = (rlim_t)fd + 1;
	close(fd);
	fd = connect_to(path);
	/* It may have been let in already, which is as well. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	close(fd);
	fd = connect_to(path);
	before = cpu_seconds();
	usleep(500000);
	assert_true(cpu_seconds() - before < 0.25);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(sees_at_last(chardev, fd));
	close(fd);
	close_deaf(chardev, thread);
}

static void write_much(struct chardev *chardev, unsigned bytes)
{
	char line[32];

	for (unsigned i = 0; i < bytes; i += 16) {
		snprintf(line, sizeof(line), "%15u\n", i);
		chardev_write(chardev, (const uint8_t *)line, 16, false);
		if (i % 32768 == 0)
			chardev_flush(chardev);
	}
	chardev_flush(chardev);
}

/* A chatty guest fills no disk: the file keeps the newest. */
static void a_file_has_a_limit(void **state)
{
	struct chardev *chardev;
	char path[64], spec[96], end[17] = "";
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_character.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s,max=256K", path);
	chardev = open_it(spec);
	write_much(chardev, 4 << 20);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &status), 0);
	assert_in_range(status.st_blocks * 512, 65536, 256 << 10);
	assert_int_equal(pread(fd, end, 16, status.st_size - 16), 16);
	assert_int_equal(atoi(end), (4 << 20) - 16);
	/* Emptied by somebody: it is counted anew. */
	assert_int_equal(ftruncate(fd, 0), 0);
	write_much(chardev, 4 << 20);
	assert_int_equal(fstat(fd, &status), 0);
	assert_in_range(status.st_blocks * 512, 65536, 256 << 10);
	close_it(chardev);
	close(fd);
	unlink(path);
}

/* A file that takes no more costs the output; when it does again, that continues. */
static void a_full_disk_loses_output_only(void **state)
{
	struct chardev *chardev;
	struct rlimit limit, small;
	char path[64], spec[96];
	struct stat status;

	signal(SIGXFSZ, SIG_IGN);
	snprintf(path, sizeof(path), "/tmp/test_character.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s,max=none", path);
	chardev = open_it(spec);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 100000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	write_much(chardev, 1 << 20);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 100000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	write_much(chardev, 1 << 20);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 100000 + (1 << 20));
	close_it(chardev);
	unlink(path);
}

static bool is_raw(int fd)
{
	struct termios mode;

	assert_int_equal(tcgetattr(fd, &mode), 0);
	return !(mode.c_lflag & (ICANON | ECHO | ISIG));
}

static void escapes_end_the_vm(void **state)
{
	int primary, terminal, saved_in = dup(0), saved_out = dup(1);
	struct chardev *chardev;

	assert_int_equal(openpty(&primary, &terminal, NULL, NULL, NULL), 0);
	dup2(terminal, 0);
	dup2(terminal, 1);
	chardev = open_it("stdio");
	dup2(saved_out, 1);
	assert_true(is_raw(terminal));
	assert_int_equal(write(primary,
			       "a\x01\x01"
			       "b\x01zc\x03\x01x",
			       10),
			 10);
	event_loop_run(loop);
	assert_true(quit_asked);
	assert_int_equal(received_count, 5);
	assert_memory_equal(received,
			    "a\x01"
			    "bc\x03",
			    5);
	close_it(chardev);
	assert_false(is_raw(terminal));
	dup2(saved_in, 0);
	close(primary);
	close(terminal);
	close(saved_in);
	close(saved_out);
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

/* What the VM's process does: reads the terminal until Ctrl-A x. Tells how many keys came. */
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
	/* Typed for the shell, while the job runs: it must not be the job that reads it. */
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
	/* Still there for the shell, and the job was not stopped by looking. */
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
		cmocka_unit_test(bad_specs_are_named),
		cmocka_unit_test(a_socket_left_behind_is_replaced),
		cmocka_unit_test(a_file_gets_everything),
		cmocka_unit_test(a_client_that_leaves_lets_the_next_in),
		cmocka_unit_test(what_was_typed_before_is_kept),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(a_file_has_a_limit),
		cmocka_unit_test(a_full_disk_loses_output_only),
		cmocka_unit_test(a_silent_reader_costs_a_second_at_most),
		cmocka_unit_test(escapes_end_the_vm),
		cmocka_unit_test(a_killed_process_leaves_the_terminal_right),
		cmocka_unit_test(a_stopped_job_leaves_the_terminal_right),
		cmocka_unit_test(a_background_job_leaves_the_terminal_alone),
		cmocka_unit_test(flags_of_shared_streams_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
