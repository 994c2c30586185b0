// SPDX-License-Identifier: BSD-2-Clause
/*
 * A VM's connection to a broker that ends and comes again. The connector opens the new connection,
 * but the broker sees the VM's own process behind each line.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "services/broker_link.h"

#define WAIT_MS 20000 /* generous: a busy machine */

static char dir[32];
static struct sockaddr_un address;
static int listen_fd, peer_fd;
static struct broker_link *broker_link;
static struct event_loop *loop; /* runs on a thread of its own; NULL: does not run */
static pthread_t loop_thread;
static _Atomic unsigned connections, losses;
static bool answer; /* of a function that ran on the loop's thread */
static char last[64];

static void broker_listen(void)
{
	const int on = 1;

	unlink(address.sun_path);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(listen_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listen_fd, 4), 0);
}

static void broker_accept(void)
{
	struct pollfd poller = {.fd = listen_fd, .events = POLLIN};

	assert_int_equal(poll(&poller, 1, WAIT_MS), 1);
	peer_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer_fd >= 0);
}

/* The broker dies. */
static void broker_die(void)
{
	close(peer_fd);
	close(listen_fd);
}

static void on_line(void *opaque, const char *line, size_t length)
{
	snprintf(last, sizeof(last), "%.*s", (int)length, line);
}

static void on_connected(void *opaque)
{
	connections++;
}

static void on_lost(void *opaque)
{
	losses++;
}

static const struct broker_link_ops ops = {
	.line = on_line, .connected = on_connected, .lost = on_lost};

static int setup(void **state)
{
	struct error err;

	connections = losses = 0;
	loop = NULL;
	strcpy(dir, "/tmp/symvm-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	broker_listen();
	assert_int_equal(broker_link_create(address.sun_path, &ops, NULL, &broker_link, &err), 0);
	broker_accept();
	return 0;
}

static int teardown(void **state)
{
	if (loop) {
		event_loop_quit(loop);
		pthread_join(loop_thread, NULL);
	}
	broker_link_destroy(broker_link);
	if (loop)
		event_loop_destroy(loop);
	broker_die();
	unlink(address.sun_path);
	return rmdir(dir);
}

/* The process that sent the next line, by the kernel's word. */
static pid_t sender(void)
{
	char text[64];
	struct iovec data = {text, sizeof(text)};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct ucred credentials;

	assert_true(recvmsg(peer_fd, &message, 0) > 0);
	assert_int_equal(control.header.cmsg_type, SCM_CREDENTIALS);
	memcpy(&credentials, CMSG_DATA(&control.header), sizeof(credentials));
	return credentials.pid;
}

static void *loop_run(void *opaque)
{
	event_loop_run(opaque);
	return NULL;
}

static void loop_start(void)
{
	assert_int_equal(event_loop_create(&loop), 0);
	assert_int_equal(broker_link_watch(broker_link, loop), 0);
	assert_int_equal(pthread_create(&loop_thread, NULL, loop_run, loop), 0);
}

/* The link's functions belong to the loop's thread. */
static void send_on_loop(void *line)
{
	answer = broker_link_send(broker_link, strdup(line));
}

static bool link_send(const char *line)
{
	assert_int_equal(event_loop_call(loop, send_on_loop, (void *)line), 0);
	return answer;
}

static void retry_on_loop(void *opaque)
{
	broker_link_retry(broker_link);
}

static void expect_count(const _Atomic unsigned *count, unsigned wanted)
{
	for (unsigned ms = 0; ms < WAIT_MS && atomic_load(count) != wanted; ms += 10)
		usleep(10000);
	assert_int_equal(atomic_load(count), wanted);
}

static void test_waits_for_a_line(void **state)
{
	assert_int_equal(broker_link_wait(broker_link, 1), -ETIMEDOUT);
	assert_int_equal(write(peer_fd, "one\ntwo\n", 8), 8);
	assert_int_equal(broker_link_wait(broker_link, WAIT_MS), 0);
	assert_string_equal(last, "one");
	assert_int_equal(broker_link_wait(broker_link, WAIT_MS), 0);
	assert_string_equal(last, "two");
	shutdown(peer_fd, SHUT_RDWR);
	assert_int_equal(broker_link_wait(broker_link, WAIT_MS), -EPIPE);
}

static void test_a_new_broker_sees_the_vm_itself(void **state)
{
	loop_start();
	assert_true(link_send("hello\n"));
	assert_int_equal(sender(), getpid());
	broker_die();
	expect_count(&losses, 1);
	assert_false(link_send("nobody hears it\n"));
	broker_listen();
	assert_int_equal(event_loop_call(loop, retry_on_loop, NULL), 0);
	expect_count(&connections, 1);
	broker_accept();
	assert_true(link_send("hello again\n"));
	assert_int_equal(sender(), getpid());
}

static void test_a_broker_that_takes_nothing(void **state)
{
	unsigned sent = 0;

	loop_start();
	/* Until the socket is full: one line is kept, the next one is dropped. */
	while (sent < 100000 && link_send("a line of some length\n"))
		sent++;
	assert_true(sent > 0 && sent < 100000);
	assert_int_equal(losses, 0);
}

static void test_a_line_without_end(void **state)
{
	char text[4096];

	loop_start();
	memset(text, 'x', sizeof(text));
	assert_int_equal(write(peer_fd, text, sizeof(text)), sizeof(text));
	expect_count(&losses, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_waits_for_a_line),
		TEST(test_a_new_broker_sees_the_vm_itself),
		TEST(test_a_broker_that_takes_nothing),
		TEST(test_a_line_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
