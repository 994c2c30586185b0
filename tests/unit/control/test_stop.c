// SPDX-License-Identifier: BSD-2-Clause
/*
 * `stop` while a guest delays `ps`: the guest answers each call late, with one more piece of a list
 * that does not end. Clients ask and leave, as a monitor would.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../services/fake_vm.h"
#include "client.h"

#define CALL_US 100000
/* Generous: a busy machine. A `ps` of this guest would take minutes. */
#define SOON_MS 8000

static struct {
	struct test_server server;
	_Atomic unsigned presses;
} fixture;

static int answer(struct vcpu *vcpu, const struct sym_call_request *request,
		  struct sym_call_result *result)
{
	static const struct sym_task task;

	usleep(CALL_US);
	if (request->args[0])
		return fake_message(request, result, &task, sizeof(task));
	*result = (struct sym_call_result){.value = 1};
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

static int setup(void **state)
{
	memset(&fixture, 0, sizeof(fixture));
	fake_vm_init(&fixture.server.vm, answer);
	return test_server_start(&fixture.server);
}

static int teardown(void **state)
{
	vm_end(&fixture.server.vm, VM_END_POWEROFF);
	test_server_end_loop(&fixture.server);
	return test_server_destroy(&fixture.server);
}

/* Asks, waits for the answer at most @ms, and leaves. False: no answer. */
static bool ask(const char *line, char *answer_line, size_t size, int ms)
{
	int fd = client_connect(&fixture.server);
	bool answered;

	client_send(fd, line);
	answered = client_read_line(fd, answer_line, size, ms);
	close(fd);
	return answered;
}

static void monitors_that_leave_do_not_shut_out_stop(void **state)
{
	char line[4096];
	unsigned calls;

	for (int i = 0; i < 40; i++)
		ask("{\"command\":\"ps\"}\n", line, sizeof(line), 20);
	assert_true(ask("{\"command\":\"stop\"}\n", line, sizeof(line), SOON_MS));
	assert_string_equal(line, "{\"result\":{}}");
	assert_int_equal(atomic_load(&fixture.presses), 1);
	/* No client wants the lists any more, so symvm stops asking the guest. */
	usleep(3 * CALL_US);
	calls = atomic_load(&fake_vm.calls);
	usleep(3 * CALL_US);
	assert_int_equal(atomic_load(&fake_vm.calls), calls);
	assert_true(ask("{\"command\":\"stop\",\"arguments\":{\"force\":true}}\n", line,
			sizeof(line), SOON_MS) ||
		    atomic_load(&fixture.server.vm.end) == VM_END_STOPPED);
	assert_int_equal(atomic_load(&fixture.server.vm.end), VM_END_STOPPED);
}

/* The teardown would take hours otherwise: as many calls as tasks. */
static void the_end_of_the_vm_ends_ps(void **state)
{
	int fds[3];

	for (int i = 0; i < 3; i++) {
		fds[i] = client_connect(&fixture.server);
		client_send(fds[i], "{\"command\":\"ps\"}\n");
	}
	while (atomic_load(&fake_vm.calls) < 4)
		usleep(1000);
	vm_end(&fixture.server.vm, VM_END_STOPPED);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void ps_has_a_limit_over_all_its_calls(void **state)
{
	char line[4096];

	assert_true(ask("{\"command\":\"ps\"}\n", line, sizeof(line), CONTROL_LIMIT_MS + SOON_MS));
	assert_non_null(strstr(line, "\"code\":-110"));
}

static void a_stop_may_be_sent_and_forgotten(void **state)
{
	int fd = client_connect(&fixture.server);

	client_send(fd, "{\"command\":\"stop\"}\n");
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
