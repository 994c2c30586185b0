// SPDX-License-Identifier: BSD-2-Clause
/* Consoles on sockets and files: clients that come and go, files that are full. */
#include "stand_ins.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "chardev_user.h"

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
		assert_true(chardev_open("console", specs[i], loop, &test_log, &chardev_ops, NULL,
					 &chardev, &err) < 0);
		assert_non_null(strstr(err.text, "--console"));
	}
	memset(long_path + 8, 'a', sizeof(long_path) - 9);
	assert_int_equal(chardev_open("console", long_path, loop, &test_log, &chardev_ops, NULL,
				      &chardev, &err),
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

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test_chardev.%d.sock", getpid());
	snprintf(spec, sizeof(spec), "socket:%s", address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	chardev = open_it(spec);
	assert_int_equal(stat(address.sun_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	/* A socket that is in use is not replaced. */
	assert_int_equal(
		chardev_open("console", spec, loop, &test_log, &chardev_ops, NULL, &second, &err),
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

	snprintf(path, sizeof(path), "/tmp/test_chardev.%d", getpid());
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

static void *run_loop(void *opaque)
{
	event_loop_run(loop);
	return NULL;
}

static size_t no_room(void *opaque)
{
	return 0;
}

static const struct chardev_ops deaf_ops = {
	.room = no_room, .input = chardev_input, .quit = chardev_quit};

/* A console of a guest that takes no input, on a socket; the loop runs on a thread. */
static struct chardev *open_deaf(char *path, size_t size, pthread_t *thread)
{
	struct chardev *chardev = NULL;
	struct error err = {0};
	char spec[128];

	snprintf(path, size, "/tmp/test_chardev.%d.sock", getpid());
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

/* Whether a client gets output that is written now. */
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

/* A client's keys from before it left reach the guest as soon as the guest takes input. */
static void what_was_typed_before_is_kept(void **state)
{
	static const struct chardev_ops late_ops = {
		.room = some_room, .input = chardev_input, .quit = chardev_quit};
	struct chardev *chardev = NULL;
	struct error err = {0};
	char path[64], spec[128];
	pthread_t thread;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_chardev.%d.sock", getpid());
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

/*
 * Writes again and again, because output is lost while the console still serves a client that has
 * left.
 */
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

/* Without a descriptor for a client the loop does not spin; later it lets the client in. */
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
	/* The client may be in already, which is right, too. */
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

/* A guest with much output does not fill the disk: the file keeps the newest. */
static void a_file_has_a_limit(void **state)
{
	struct chardev *chardev;
	char path[64], spec[96], end[17] = "";
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_chardev.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s,max=256K", path);
	chardev = open_it(spec);
	write_much(chardev, 4 << 20);
	fd = open(path, O_RDWR);
	assert_int_equal(fstat(fd, &status), 0);
	assert_in_range(status.st_blocks * 512, 65536, 256 << 10);
	assert_int_equal(pread(fd, end, 16, status.st_size - 16), 16);
	assert_int_equal(atoi(end), (4 << 20) - 16);
	/* If another program empties the file, counting begins again. */
	assert_int_equal(ftruncate(fd, 0), 0);
	write_much(chardev, 4 << 20);
	assert_int_equal(fstat(fd, &status), 0);
	assert_in_range(status.st_blocks * 512, 65536, 256 << 10);
	close_it(chardev);
	close(fd);
	unlink(path);
}

/* Output to a file that takes no more is lost; it continues when the file takes data again. */
static void a_full_disk_loses_output_only(void **state)
{
	struct chardev *chardev;
	struct rlimit limit, small;
	char path[64], spec[96];
	struct stat status;

	signal(SIGXFSZ, SIG_IGN);
	snprintf(path, sizeof(path), "/tmp/test_chardev.%d", getpid());
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

/* For the report of a panic: whether somebody read it or not. */
static void the_newest_output_can_be_read_again(void **state)
{
	struct chardev *chardev;
	char path[64], spec[80], tail[32];
	static char much[CHARDEV_OUTPUT_SIZE + 1];

	snprintf(path, sizeof(path), "/tmp/test_chardev.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s", path);
	chardev = open_it(spec);
	assert_int_equal(chardev_tail(chardev, tail, sizeof(tail)), 0);
	chardev_write(chardev, (const uint8_t *)"first", 5, false);
	assert_int_equal(chardev_tail(chardev, tail, sizeof(tail)), 5);
	assert_memory_equal(tail, "first", 5);
	chardev_flush(chardev);
	chardev_write(chardev, (const uint8_t *)" second", 7, false);
	assert_int_equal(chardev_tail(chardev, tail, 8), 8);
	assert_memory_equal(tail, "t second", 8);
	/* Around the end of the ring, and no more than it has. */
	for (unsigned i = 0; i < 3 * CHARDEV_OUTPUT_SIZE / 10; i++) {
		chardev_write(chardev, (const uint8_t *)"0123456789", 10, false);
		chardev_flush(chardev);
	}
	assert_int_equal(chardev_tail(chardev, tail, 12), 12);
	assert_memory_equal(tail, "890123456789", 12);
	assert_int_equal(chardev_tail(chardev, much, sizeof(much)), CHARDEV_OUTPUT_SIZE);
	assert_memory_equal(much + CHARDEV_OUTPUT_SIZE - 10, "0123456789", 10);
	close_it(chardev);
	unlink(path);
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
		cmocka_unit_test(the_newest_output_can_be_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
