// SPDX-License-Identifier: BSD-2-Clause
/*
 * `stop` beside a guest that draws out `ps`: it answers each call late, with one more piece of a
 * list that does not end. Clients ask and leave, as a monitor would.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/control.h"
#include "control/state_dir.h"
#include "machine/vm.h"
#include "services/guest_call.h"

#define CALL_US 100000
/* Generous: a busy machine. A `ps` of this guest would take minutes. */
#define SOON_MS 8000

static struct {
	char dir[64];
	struct vm vm;
	struct state_name name;
	struct control_server *server;
	pthread_t thread;
	_Atomic unsigned calls;
	_Atomic unsigned presses;
	_Atomic bool paused;
} fixture;

int guest_call(struct vm *vm, unsigned id, const struct wait_limit *limit,
	       const struct sym_call_request *request, struct sym_call_result *result,
	       struct error *err)
{
	if (atomic_load(&vm->end) != VM_END_NONE)
		return error_set(err, -ESHUTDOWN, "the VM has ended");
	atomic_fetch_add(&fixture.calls, 1);
	usleep(CALL_US);
	*result = (struct sym_call_result){.value = 1};
	if (!request->args[0])
		return 0;
	memset(request->message, 0, sizeof(struct sym_task));
	result->value = (int64_t)sizeof(struct sym_task);
	result->message_length = sizeof(struct sym_task);
	return 0;
}

json_t *guest_text(const void *text, size_t size)
{
	return json_string("x");
}

int vm_pause(struct vm *vm)
{
	return 0;
}

int vm_resume(struct vm *vm)
{
	return 0;
}

int vm_power_off(struct vm *vm, unsigned seconds)
{
	atomic_fetch_add(&fixture.presses, 1);
	return 0;
}

void vm_end(struct vm *vm, enum vm_end reason)
{
	int none = VM_END_NONE;

	if (atomic_compare_exchange_strong(&vm->end, &none, (int)reason))
		event_loop_quit(vm->main_loop);
}

static void *run_loop(void *opaque)
{
	event_loop_run(fixture.vm.main_loop);
	return NULL;
}

static int setup(void **state)
{
	struct error err;

	memset(&fixture, 0, sizeof(fixture));
	atomic_store(&fixture.vm.end, VM_END_NONE);
	strcpy(fixture.dir, "/tmp/symvm-test-XXXXXX");
	if (!mkdtemp(fixture.dir) || setenv("SYMVM_RUNTIME_DIR", fixture.dir, 1) < 0)
		return -1;
	log_init(&fixture.vm.log, STDERR_FILENO, LOG_LEVEL_ERROR);
	if (event_loop_create(&fixture.vm.main_loop) < 0 ||
	    state_name_claim(&fixture.name, "test", &err) < 0 ||
	    control_server_create(&fixture.vm, &fixture.name, &fixture.server, &err) < 0 ||
	    control_server_start(fixture.server, &err) < 0)
		return -1;
	return pthread_create(&fixture.thread, NULL, run_loop, NULL);
}

static int teardown(void **state)
{
	vm_end(&fixture.vm, VM_END_POWEROFF);
	pthread_join(fixture.thread, NULL);
	control_server_destroy(fixture.server);
	event_loop_destroy(fixture.vm.main_loop);
	state_name_release(&fixture.name);
	return rmdir(fixture.dir);
}

/* Asks, waits for the answer at most @ms, and leaves. False: no answer. */
static bool ask(const char *line, char *answer, size_t size, int ms)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	ssize_t got = -1;

	assert_int_equal(
		connect(fd, (struct sockaddr *)&fixture.name.address, sizeof(fixture.name.address)),
		0);
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
	if (poll(&poll_fd, 1, ms) == 1)
		got = recv(fd, answer, size - 1, 0);
	answer[got > 0 ? got : 0] = '\0';
	close(fd);
	return got > 0;
}

static void monitors_that_leave_do_not_shut_out_stop(void **state)
{
	char answer[4096];
	unsigned calls;

	for (int i = 0; i < 40; i++)
		ask("{\"command\":\"ps\"}\n", answer, sizeof(answer), 20);
	assert_true(ask("{\"command\":\"stop\"}\n", answer, sizeof(answer), SOON_MS));
	assert_string_equal(answer, "{\"result\":{}}\n");
	assert_int_equal(atomic_load(&fixture.presses), 1);
	/* Nobody wants their lists: the guest is not asked any more. */
	usleep(3 * CALL_US);
	calls = atomic_load(&fixture.calls);
	usleep(3 * CALL_US);
	assert_int_equal(atomic_load(&fixture.calls), calls);
	assert_true(ask("{\"command\":\"stop\",\"arguments\":{\"force\":true}}\n", answer,
			sizeof(answer), SOON_MS) ||
		    atomic_load(&fixture.vm.end) == VM_END_STOPPED);
	assert_int_equal(atomic_load(&fixture.vm.end), VM_END_STOPPED);
}

/* The teardown would take hours otherwise: as many calls as tasks. */
static void the_end_of_the_vm_ends_ps(void **state)
{
	int fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&fixture.name.address,
					 sizeof(fixture.name.address)),
				 0);
		assert_int_equal(send(fds[i], "{\"command\":\"ps\"}\n", 17, MSG_NOSIGNAL), 17);
	}
	while (atomic_load(&fixture.calls) < 4)
		usleep(1000);
	vm_end(&fixture.vm, VM_END_STOPPED);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void ps_has_a_limit_over_all_its_calls(void **state)
{
	char answer[4096];

	assert_true(
		ask("{\"command\":\"ps\"}\n", answer, sizeof(answer), CONTROL_LIMIT_MS + SOON_MS));
	assert_non_null(strstr(answer, "\"code\":-110"));
}

static void a_stop_may_be_sent_and_forgotten(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(
		connect(fd, (struct sockaddr *)&fixture.name.address, sizeof(fixture.name.address)),
		0);
	assert_int_equal(send(fd, "{\"command\":\"stop\"}\n", 19, MSG_NOSIGNAL), 19);
	close(fd);
	for (int i = 0; i < SOON_MS && atomic_load(&fixture.presses) != 1; i++)
		usleep(1000);
	assert_int_equal(atomic_load(&fixture.presses), 1);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(monitors_that_leave_do_not_shut_out_stop),
		CASE(the_end_of_the_vm_ends_ps),
		CASE(ps_has_a_limit_over_all_its_calls),
		CASE(a_stop_may_be_sent_and_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
