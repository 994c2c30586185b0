// SPDX-License-Identifier: BSD-2-Clause
/* The control socket from outside: a loop and its server on a thread, clients that misbehave. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "control/passing.h"

#define ANSWER_MS 5000

static struct {
	struct test_server server;
	_Atomic unsigned waiting; /* handlers of "wait" under way */
	_Atomic bool release;
	_Atomic unsigned counted; /* calls of handle_count() */
} fixture;

static int handle_echo(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	*result = json_incref(arguments);
	return 0;
}
static const struct control_command echo_command = {.name = "echo", .handle = handle_echo};
CONTROL_COMMAND(echo_command);

static int handle_fail(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	*result = json_object(); /* must not leak */
	return error_set(err, -EXDEV, "it failed");
}
static const struct control_command fail_command = {.name = "fail", .handle = handle_fail};
CONTROL_COMMAND(fail_command);

static int handle_wait(struct vm *vm, json_t *arguments, struct wait_limit *limit, json_t **result,
		       struct error *err)
{
	atomic_fetch_add(&fixture.waiting, 1);
	while (!atomic_load(&fixture.release) && !wait_limit_over(limit))
		usleep(1000);
	atomic_fetch_sub(&fixture.waiting, 1);
	*result = json_pack("{s:s}", "waited", "yes");
	return 0;
}
static const struct control_command wait_command = {
	.name = "wait", .is_query = true, .handle_until = handle_wait};
CONTROL_COMMAND(wait_command);

/* Never looks whether its time is over. */
static int handle_stuck(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	atomic_fetch_add(&fixture.waiting, 1);
	while (!atomic_load(&fixture.release))
		usleep(1000);
	atomic_fetch_sub(&fixture.waiting, 1);
	return 0;
}
static const struct control_command stuck_command = {
	.name = "stuck", .may_wait = true, .limit_ms = 300, .handle = handle_stuck};
CONTROL_COMMAND(stuck_command);
static const struct control_command stuck_quick_command = {
	.name = "stuck-quick", .limit_ms = 300, .handle = handle_stuck};
CONTROL_COMMAND(stuck_quick_command);

static int handle_count(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	atomic_fetch_add(&fixture.counted, 1);
	return 0;
}
static const struct control_command count_command = {
	.name = "count", .may_wait = true, .handle = handle_count};
CONTROL_COMMAND(count_command);
static const struct control_command count_query_command = {
	.name = "count-query", .is_query = true, .may_wait = true, .handle = handle_count};
CONTROL_COMMAND(count_query_command);
static const struct control_command now_command = {
	.name = "now", .immediate = true, .handle = handle_count};
CONTROL_COMMAND(now_command);

/* An answer larger than clients accept. */
static int handle_huge(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	char *text = malloc(20u << 20);

	memset(text, 'y', 20u << 20);
	*result = json_object();
	json_object_set_new(*result, "text", json_stringn(text, 20u << 20));
	free(text);
	return 0;
}
static const struct control_command huge_command = {.name = "huge", .handle = handle_huge};
CONTROL_COMMAND(huge_command);

static int handle_large(struct vm *vm, json_t *arguments, json_t **result, struct error *err)
{
	char *text = malloc(4u << 20);

	memset(text, 'y', 4u << 20);
	*result = json_object();
	json_object_set_new(*result, "text", json_stringn(text, 4u << 20));
	free(text);
	return 0;
}
static const struct control_command large_command = {.name = "large", .handle = handle_large};
CONTROL_COMMAND(large_command);

/* Writes its name into the file that it gets. */
static int handle_file(struct vm *vm, json_t *arguments, int fd, struct wait_limit *limit,
		       json_t **result, struct error *err)
{
	return pwrite(fd, "file", 4, 0) == 4 ? 0 : error_set_errno(err, -errno, "file");
}
static const struct control_command file_command = {.name = "file", .handle_file = handle_file};
CONTROL_COMMAND(file_command);

static int setup(void **state)
{
	memset(&fixture, 0, sizeof(fixture));
	return test_server_start(&fixture.server);
}

static int teardown(void **state)
{
	test_server_end_loop(&fixture.server);
	atomic_store(&fixture.release, true);
	return test_server_destroy(&fixture.server);
}

static int connect_client(void)
{
	return client_connect(&fixture.server);
}

static void requests_are_answered_in_order(void **state)
{
	int fd = connect_client();

	client_send(fd, "{\"command\":\"echo\",\"id\":1,\"arguments\":{\"a\":1}}\n"
			"{\"command\":\"fail\",\"id\":2}\n{\"command\":\"echo\",");
	client_expect(fd, "{\"result\":{\"a\":1},\"id\":1}");
	client_expect(fd, "{\"error\":{\"code\":-18,\"message\":\"it failed\"},\"id\":2}");
	client_send(fd, "\"id\":3}\n");
	client_expect(fd, "{\"result\":{},\"id\":3}");
	close(fd);
}

static void the_socket_is_private(void **state)
{
	struct stat status;

	assert_int_equal(stat(fixture.server.name.address.sun_path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void nonsense_is_answered_and_the_connection_goes_on(void **state)
{
	char *line = malloc(200000);
	int fd = connect_client();

	client_send(fd, "\n");
	client_expect_part(fd, "\"code\":-22");
	client_send(fd, "{{{{\n");
	client_expect_part(fd, "malformed JSON");
	client_send(fd, "{\"command\":\"none\"}\n");
	client_expect_part(fd, "unknown command 'none'");
	memset(line, 'x', 199998);
	memcpy(line + 199998, "\n", 2);
	client_send(fd, line);
	client_expect_part(fd, "longer than 65536 bytes");
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	close(fd);
	free(line);
}

static void a_half_closed_client_gets_its_answers(void **state)
{
	int fd = connect_client();

	atomic_store(&fixture.release, true);
	client_send(fd, "{\"command\":\"wait\"}\n{\"command\":\"echo\"}\n{\"command\":\"unfin");
	shutdown(fd, SHUT_WR);
	client_expect(fd, "{\"result\":{\"waited\":\"yes\"}}");
	client_expect(fd, "{\"result\":{}}");
	client_expect_end(fd);
	close(fd);
}

static void await_waiting(unsigned count)
{
	for (int i = 0; i < 5000 && atomic_load(&fixture.waiting) != count; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&fixture.waiting), count);
}

static void one_that_waits_holds_up_nobody(void **state)
{
	int slow = connect_client(), quick = connect_client();

	client_send(slow, "{\"command\":\"wait\"}\n");
	await_waiting(1);
	client_send(quick, "{\"command\":\"echo\"}\n");
	client_expect(quick, "{\"result\":{}}");
	atomic_store(&fixture.release, true);
	client_expect(slow, "{\"result\":{\"waited\":\"yes\"}}");
	close(slow);
	close(quick);
}

static void a_client_may_leave_while_it_waits(void **state)
{
	int fd = connect_client(), other;

	client_send(fd, "{\"command\":\"wait\"}\n{\"command\":\"wait\"}\n");
	await_waiting(1);
	close(fd);
	usleep(20000);
	atomic_store(&fixture.release, true);
	await_waiting(0);
	other = connect_client();
	client_send(other, "{\"command\":\"wait\"}\n");
	client_expect(other, "{\"result\":{\"waited\":\"yes\"}}");
	close(other);
}

static void the_server_may_end_while_a_client_waits(void **state)
{
	int fd = connect_client();

	/* The teardown ends this: four handlers run, two requests wait for a worker. */
	client_send(fd, "{\"command\":\"wait\"}\n");
	for (int i = 0; i < 5; i++)
		client_send(connect_client(), "{\"command\":\"wait\"}\n");
	await_waiting(4);
	close(fd);
}

static void clients_are_bounded(void **state)
{
	int fds[16], extra;

	for (int i = 0; i < 16; i++) {
		fds[i] = connect_client();
		client_send(fds[i], "{\"command\":\"echo\"}\n");
		client_expect(fds[i], "{\"result\":{}}");
	}
	extra = connect_client();
	client_expect_part(extra, "too many clients");
	client_expect_end(extra);
	close(extra);
	close(fds[3]);
	/* A place is free again as soon as the server saw the other client leave. */
	for (int i = 0; i < 100; i++) {
		char line[1024];

		usleep(10000);
		extra = connect_client();
		send(extra, "{\"command\":\"echo\"}\n", 19, MSG_NOSIGNAL);
		if (client_read_line(extra, line, sizeof(line), ANSWER_MS) &&
		    strstr(line, "result"))
			break;
		close(extra);
		extra = -1;
	}
	assert_true(extra >= 0);
	close(extra);
	for (int i = 0; i < 16; i++)
		if (i != 3)
			close(fds[i]);
}

static void await_count(unsigned count)
{
	for (int i = 0; i < 5000 && atomic_load(&fixture.counted) != count; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&fixture.counted), count);
}

static void there_is_always_room_for_one_that_must_not_wait(void **state)
{
	int idle[16], silent[30], fd, served;
	char byte;

	/* Takes all places and workers; many more clients take a reserved place and send nothing.
	 */
	for (int i = 0; i < 16; i++) {
		idle[i] = connect_client();
		client_send(idle[i],
			    i % 2 ? "{\"command\":\"wait\"}\n" : "{\"command\":\"stuck\"}\n");
	}
	for (int i = 0; i < 30; i++)
		silent[i] = connect_client();
	for (int i = 0; i < 5; i++) {
		fd = connect_client();
		client_send(fd, "{\"command\":\"now\"}\n");
		client_expect(fd, "{\"result\":{}}");
		close(fd);
	}
	/* A client that was served may stay: its connection tells it when the VM ends. */
	served = connect_client();
	client_send(served, "{\"command\":\"now\"}\n");
	client_expect(served, "{\"result\":{}}");
	usleep(2500000);
	assert_int_equal(recv(served, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(served);
	fd = connect_client();
	client_send(fd, "{\"command\":\"echo\",\"id\":7}\n");
	client_expect(fd, "{\"error\":{\"code\":-16,\"message\":\"too many clients are "
			  "connected\"},\"id\":7}");
	client_expect_end(fd);
	close(fd);
	for (int i = 0; i < 16; i++)
		close(idle[i]);
	for (int i = 0; i < 30; i++)
		close(silent[i]);
}

static void a_limit_holds_whatever_the_handler_does(void **state)
{
	int stuck = connect_client(), queued[3], quick = connect_client();

	for (int i = 0; i < 3; i++) {
		queued[i] = connect_client();
		client_send(queued[i], "{\"command\":\"stuck\"}\n{\"command\":\"now\"}\n");
	}
	client_send(stuck, "{\"command\":\"stuck-quick\"}\n");
	client_send(quick, "{\"command\":\"now\"}\n");
	client_expect(quick, "{\"result\":{}}");
	client_expect(stuck,
		      "{\"error\":{\"code\":-110,\"message\":\"'stuck-quick' was not done in "
		      "time\"}}");
	for (int i = 0; i < 3; i++) {
		client_expect_part(queued[i], "'stuck' was not done in time");
		client_expect(queued[i], "{\"result\":{}}");
		close(queued[i]);
	}
	/* The server does not begin the queued request any more. */
	atomic_store(&fixture.release, true);
	await_waiting(0);
	close(stuck);
	close(quick);
}

static void clients_that_leave_keep_no_place(void **state)
{
	int fd;

	for (int i = 0; i < 200; i++) {
		fd = connect_client();
		client_send(fd, "{\"command\":\"wait\"}\n{\"command\":\"wait\"}\n");
		close(fd);
	}
	await_waiting(0);
	fd = connect_client();
	atomic_store(&fixture.release, true);
	client_send(fd, "{\"command\":\"wait\"}\n");
	client_expect(fd, "{\"result\":{\"waited\":\"yes\"}}");
	close(fd);
}

static void what_a_client_sent_before_it_left_is_carried_out(void **state)
{
	static const char *const lines[] = {"{\"command\":\"now\"}\n", "{\"command\":\"count\"}\n"};
	int fd;

	for (unsigned i = 0; i < 100; i++) {
		fd = connect_client();
		client_send(fd, lines[i % 2]);
		close(fd);
		if (i % 8 == 7)
			await_count(i + 1); /* no more than the server keeps */
	}
	await_count(100);
	/* The answers come in order, after a query whose client has left. */
	fd = connect_client();
	client_send(fd, "{\"command\":\"wait\"}\n{\"command\":\"count\"}\n{\"command\":\"now\"}\n"
			"{\"command\":\"count-query\"}\n");
	await_waiting(1);
	close(fd);
	await_count(102);
}

static void an_answer_has_a_bound(void **state)
{
	int fd = connect_client();

	client_send(fd, "{\"command\":\"huge\",\"id\":1}\n");
	client_expect_part(fd, "\"code\":-90,\"message\":\"the answer is longer than 16 MiB\"");
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	close(fd);
}

static void a_slow_reader_holds_up_nobody(void **state)
{
	int slow = connect_client(), quick = connect_client();
	size_t got = 0;
	char chunk[65536];

	client_send(slow, "{\"command\":\"large\"}\n{\"command\":\"echo\"}\n");
	usleep(50000);
	client_send(quick, "{\"command\":\"echo\"}\n");
	client_expect(quick, "{\"result\":{}}");
	while (got < (4u << 20)) {
		ssize_t count = recv(slow, chunk, sizeof(chunk), 0);

		assert_true(count > 0);
		got += (size_t)count;
	}
	close(slow);
	close(quick);
}

static unsigned count_open(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void a_file_is_passed_for_one_request(void **state)
{
	int fd = connect_client(), file = memfd_create("file", MFD_CLOEXEC);
	unsigned open_files;
	char text[8] = "";

	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	open_files = count_open();
	client_send(fd, "{\"command\":\"file\"}\n");
	client_expect_part(fd, "\"message\":\"file: no regular file was passed\"");
	assert_int_equal(control_pass_file(fd, file), 0);
	client_send(fd, "{\"command\":\"file\"}\n");
	client_expect(fd, "{\"result\":{}}");
	assert_int_equal(pread(file, text, sizeof(text), 0), 4);
	assert_string_equal(text, "file");
	/* Another command does not keep it for the next one. */
	assert_int_equal(control_pass_file(fd, file), 0);
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	client_send(fd, "{\"command\":\"file\"}\n");
	client_expect_part(fd, "no regular file was passed");
	/* The next request is read after the job of the last one was freed. */
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	assert_int_equal(count_open(), open_files);
	close(file);
	close(fd);
}

/* A write to a pipe without a reader would wait, and a second file would stay open for ever. */
static void only_one_regular_file_is_taken(void **state)
{
	int fd = connect_client(), ends[2], files[2];
	unsigned open_files;
	struct iovec piece = {" ", 1};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(files))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(files)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS}};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	assert_int_equal(pipe(ends), 0);
	files[0] = files[1] = memfd_create("file", MFD_CLOEXEC);
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	open_files = count_open();
	assert_int_equal(control_pass_file(fd, ends[1]), 0);
	client_send(fd, "{\"command\":\"file\"}\n");
	client_expect_part(fd, "no regular file was passed");
	memcpy(CMSG_DATA(&control.header), files, sizeof(files));
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), 1);
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	client_send(fd, "{\"command\":\"echo\"}\n");
	client_expect(fd, "{\"result\":{}}");
	assert_int_equal(count_open(), open_files);
	close(files[0]);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(requests_are_answered_in_order),
		CASE(the_socket_is_private),
		CASE(nonsense_is_answered_and_the_connection_goes_on),
		CASE(a_half_closed_client_gets_its_answers),
		CASE(one_that_waits_holds_up_nobody),
		CASE(a_client_may_leave_while_it_waits),
		CASE(the_server_may_end_while_a_client_waits),
		CASE(clients_are_bounded),
		CASE(there_is_always_room_for_one_that_must_not_wait),
		CASE(a_limit_holds_whatever_the_handler_does),
		CASE(clients_that_leave_keep_no_place),
		CASE(what_a_client_sent_before_it_left_is_carried_out),
		CASE(an_answer_has_a_bound),
		CASE(a_slow_reader_holds_up_nobody),
		CASE(a_file_is_passed_for_one_request),
		CASE(only_one_regular_file_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
