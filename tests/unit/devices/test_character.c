// SPDX-License-Identifier: BSD-2-Clause
#include "stand_ins.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "devices/character.h"

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

static const struct character_ops ops = {.room = room, .input = input, .quit = quit};

static struct character *open_it(const char *spec)
{
	struct character *character = NULL;
	struct error err = {0};

	log_init(&test_log, 2, LOG_LEVEL_ERROR);
	received_count = 0;
	quit_asked = false;
	assert_int_equal(event_loop_create(&loop), 0);
	if (character_open("console", spec, loop, &test_log, &ops, NULL, &character, &err) < 0)
		fail_msg("%s", err.text);
	return character;
}

static void close_it(struct character *character)
{
	character_close(character);
	event_loop_destroy(loop);
}

static void bad_specs_are_named(void **state)
{
	static const char *const specs[] = {
		"", "tty", "file:", "socket:", "file:/nowhere/x", "socket:/nowhere/x", "stdio:"};
	char long_path[300] = "socket:/";
	struct character *character;
	struct error err;

	assert_int_equal(event_loop_create(&loop), 0);
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		err.text[0] = '\0';
		assert_true(character_open("console", specs[i], loop, &test_log, &ops, NULL,
					   &character, &err) < 0);
		assert_non_null(strstr(err.text, "--console"));
	}
	memset(long_path + 8, 'a', sizeof(long_path) - 9);
	assert_int_equal(
		character_open("console", long_path, loop, &test_log, &ops, NULL, &character, &err),
		-ENAMETOOLONG);
	event_loop_destroy(loop);
}

static void a_socket_left_behind_is_replaced(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct character *character, *second;
	struct stat status;
	struct error err;
	char spec[128];

	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/test_character.%d.sock",
		 getpid());
	snprintf(spec, sizeof(spec), "socket:%s", address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	character = open_it(spec);
	assert_int_equal(stat(address.sun_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	/* One that is in use is not. */
	assert_int_equal(
		character_open("console", spec, loop, &test_log, &ops, NULL, &second, &err),
		-EADDRINUSE);
	close_it(character);
	assert_int_equal(access(address.sun_path, F_OK), -1);
}

static void a_file_gets_everything(void **state)
{
	struct character *character;
	char path[64], spec[80], got[16] = {0};
	struct stat status;
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_character.%d", getpid());
	snprintf(spec, sizeof(spec), "file:%s", path);
	character = open_it(spec);
	for (unsigned i = 0; i < 200000; i += 10)
		character_write(character, (const uint8_t *)"0123456789", 10, false);
	character_flush(character);
	assert_int_equal(character_write(character, (const uint8_t *)"the end", 7, false), 7);
	close_it(character);
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
	struct character *character;
	struct timespec start, end;
	json_t *object = json_object();

	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDOUT_FILENO);
	character = open_it("stdio");
	dup2(saved, STDOUT_FILENO);
	character_flush(character);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(character_write(character, data, sizeof(data), true),
				 sizeof(data));
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_in_range(end.tv_sec - start.tv_sec, 1, 3);
	character_describe(character, object);
	assert_true(json_integer_value(json_object_get(object, "bytes_dropped")) >= 300000);
	json_decref(object);
	close(ends[0]);
	close(ends[1]);
	close(saved);
	signal(SIGPIPE, SIG_IGN);
	close_it(character);
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
	struct character *character;

	assert_int_equal(openpty(&primary, &terminal, NULL, NULL, NULL), 0);
	dup2(terminal, 0);
	dup2(terminal, 1);
	character = open_it("stdio");
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
	close_it(character);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_specs_are_named),
		cmocka_unit_test(a_socket_left_behind_is_replaced),
		cmocka_unit_test(a_file_gets_everything),
		cmocka_unit_test(a_silent_reader_costs_a_second_at_most),
		cmocka_unit_test(escapes_end_the_vm),
		cmocka_unit_test(a_killed_process_leaves_the_terminal_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
