// SPDX-License-Identifier: BSD-2-Clause
/* The control socket of a VM of another VMM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/protocol.h"
#include "control/state_dir.h"
#include "preload/server.h"
#include "preload/vm.h"

static struct sockaddr_un address;

static int connect_client(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Sends @text and returns the answer's line. */
static char *ask(int fd, const char *text)
{
	static char line[4096];
	size_t length = 0;

	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	do {
		assert_int_equal(recv(fd, line + length, 1, 0), 1);
	} while (line[length++] != '\n');
	line[length] = '\0';
	return line;
}

static void expect(int fd, const char *text, const char *part)
{
	const char *answer = ask(fd, text);

	if (!strstr(answer, part))
		fail_msg("%s has no %s", answer, part);
}

static void requests_are_answered_in_order(void **state)
{
	int fd = connect_client();

	expect(fd, "{\"command\":\"commands\"}\n{\"command\":\"nothing\",\"id\":7}\n", "\"ps\"");
	expect(fd, "", "unknown command 'nothing'");
	expect(fd, "not JSON\n", "malformed JSON");
	expect(fd, "{\"command\":\"ps\",\"arguments\":{\"x\":1}}\n", "error");
	close(fd);
}

static void guest_without_a_vcpu_is_not_asked(void **state)
{
	int fd = connect_client();

	expect(fd, "{\"command\":\"ps\"}\n", "has no vCPU yet");
	close(fd);
}

static void overlong_line_is_refused_and_dropped(void **state)
{
	size_t size = CONTROL_LINE_MAX + 100;
	char *line = malloc(size + 1);
	int fd = connect_client();

	memset(line, 'x', size);
	line[size - 1] = '\n';
	line[size] = '\0';
	expect(fd, line, "longer than");
	expect(fd, "{\"command\":\"commands\"}\n", "result");
	free(line);
	close(fd);
}

static void clients_that_leave_early_do_no_harm(void **state)
{
	for (int i = 0; i < 40; i++) {
		int fd = connect_client();

		assert_int_equal(send(fd, "{\"comm", 6, MSG_NOSIGNAL), 6);
		close(fd);
	}
	guest_without_a_vcpu_is_not_asked(state);
}

static void name_that_is_taken_is_refused(void **state)
{
	struct preload_vm *vm = *state;
	struct preload_server *second = NULL;
	struct error err;

	assert_int_equal(preload_server_start(vm, &second, &err), -EEXIST);
	assert_null(second);
}

static struct preload_server *server;

static int start(void **state)
{
	static char dir[] = "/tmp/symvm-preload.XXXXXX";
	struct preload_vm *vm = calloc(1, sizeof(*vm));
	struct error err = {""};

	if (!vm || !mkdtemp(dir))
		return -1;
	setenv("SYMVM_RUNTIME_DIR", dir, 1);
	setenv(PRELOAD_NAME_VARIABLE, "test", 1);
	memslots_init(&vm->slots);
	*state = vm;
	return preload_server_start(vm, &server, &err) < 0 ||
	       state_name_address(&address, dir, "test", &err) < 0;
}

static int end(void **state)
{
	preload_server_end(server);
	return access(address.sun_path, F_OK) == 0 || rmdir(getenv("SYMVM_RUNTIME_DIR")) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_answered_in_order),
		cmocka_unit_test(guest_without_a_vcpu_is_not_asked),
		cmocka_unit_test(overlong_line_is_refused_and_dropped),
		cmocka_unit_test(clients_that_leave_early_do_no_harm),
		cmocka_unit_test(name_that_is_taken_is_refused),
	};

	return cmocka_run_group_tests(tests, start, end);
}
