// SPDX-License-Identifier: BSD-2-Clause
#include "client.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ANSWER_MS 20000 /* generous: a busy machine */

static void *run_loop(void *opaque)
{
	event_loop_run(opaque);
	return NULL;
}

int test_server_start(struct test_server *server)
{
	struct error err;

	strcpy(server->dir, "/tmp/symvm-test-XXXXXX");
	if (!mkdtemp(server->dir) || setenv("SYMVM_RUNTIME_DIR", server->dir, 1) < 0)
		return -1;
	log_init(&server->vm.log, STDERR_FILENO, LOG_LEVEL_ERROR);
	if (event_loop_create(&server->vm.main_loop) < 0 ||
	    state_name_claim(&server->name, "test", &err) < 0 ||
	    control_server_create(&server->vm, &server->name, &server->server, &err) < 0 ||
	    control_server_start(server->server, &err) < 0 ||
	    control_server_wait_ready(server->server, &err) < 0)
		return -1;
	return pthread_create(&server->thread, NULL, run_loop, server->vm.main_loop) ? -1 : 0;
}

void test_server_end_loop(struct test_server *server)
{
	event_loop_quit(server->vm.main_loop);
	pthread_join(server->thread, NULL);
}

int test_server_destroy(struct test_server *server)
{
	control_server_destroy(server->server);
	event_loop_destroy(server->vm.main_loop);
	state_name_release(&server->name);
	return rmdir(server->dir);
}

int client_connect(const struct test_server *server)
{
	const struct sockaddr_un *address = &server->name.address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
	return fd;
}

void client_send(int fd, const char *text)
{
	size_t length = strlen(text);

	assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), length);
}

bool client_read_line(int fd, char *line, size_t size, int ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	for (size_t used = 0;; used++) {
		assert_true(used < size);
		line[used] = '\0';
		if (poll(&poll_fd, 1, ms) != 1 || recv(fd, line + used, 1, 0) != 1)
			return false;
		if (line[used] == '\n') {
			line[used] = '\0';
			return true;
		}
	}
}

void client_expect(int fd, const char *answer)
{
	char line[1024];

	assert_true(client_read_line(fd, line, sizeof(line), ANSWER_MS));
	assert_string_equal(line, answer);
}

void client_expect_part(int fd, const char *part)
{
	char line[1024];

	assert_true(client_read_line(fd, line, sizeof(line), ANSWER_MS));
	assert_non_null(strstr(line, part));
}

void client_expect_end(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char byte;

	assert_int_equal(poll(&poll_fd, 1, ANSWER_MS), 1);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
}
