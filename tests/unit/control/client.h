/* SPDX-License-Identifier: BSD-2-Clause */
/* A control server of a VM that has only a loop, and clients of its socket. */
#ifndef TESTS_CONTROL_CLIENT_H
#define TESTS_CONTROL_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "control/control.h"
#include "control/state_dir.h"
#include "machine/vm.h"

struct test_server {
	char dir[64];
	struct vm vm;
	struct state_name name;
	struct control_server *server;
	pthread_t thread; /* runs vm.main_loop */
};

/* Starts a server in a new directory; @server->vm may be set up already. 0 or -1. */
int test_server_start(struct test_server *server);
/* Ends its loop and waits for it; then ends the rest, which clients may still use. 0 or -1. */
void test_server_end_loop(struct test_server *server);
int test_server_destroy(struct test_server *server);

/* These assert that they succeed, in the test's own time. */
int client_connect(const struct test_server *server);
void client_send(int fd, const char *text);
/* Reads one line without its newline. False: the connection ended, or no answer within @ms. */
bool client_read_line(int fd, char *line, size_t size, int ms);
/* The next line is @answer, or has @part in it; or there is no more. */
void client_expect(int fd, const char *answer);
void client_expect_part(int fd, const char *part);
void client_expect_end(int fd);

#endif
