// SPDX-License-Identifier: BSD-2-Clause
#include "fake_vms.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/daemon/server.h"
#include "util/clock.h"

/* Each VM gets what it wants. */
static void wants_decide(void *state, const struct broker_host_view *host,
			 const struct broker_vm_view *vms, size_t count, uint64_t *targets)
{
	for (size_t i = 0; i < count; i++)
		targets[i] = vms[i].want;
}

static const struct broker_policy wants = {.name = "wants", .decide = wants_decide};

static void broker_run(const struct test_broker *broker, uint64_t recall_ns, int ready)
{
	struct broker_config config = {
		.socket = broker->socket,
		.ledger = broker->ledger,
		.accounts = {.share = SHARE, .recall_ns = recall_ns, .policy = &wants},
	};
	struct broker_server *server;
	struct error err;
	struct log log;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init(&log, STDERR_FILENO, LOG_LEVEL_ERROR);
	config.log = &log;
	if (event_loop_create(&config.loop) < 0)
		_exit(1);
	if (broker_server_create(&config, &server, &err) < 0) {
		dprintf(ready, "%s", err.text);
		_exit(1);
	}
	if (write(ready, "", 1) == 1)
		close(ready);
	event_loop_run(config.loop);
	_exit(0);
}

void broker_begin(struct test_broker *broker, uint64_t recall_ns)
{
	char word = 'x';
	int ends[2];

	if (!broker->dir[0]) {
		strcpy(broker->dir, "/tmp/symvm-test-XXXXXX");
		assert_non_null(mkdtemp(broker->dir));
		snprintf(broker->socket, sizeof(broker->socket), "%s/socket", broker->dir);
		snprintf(broker->ledger, sizeof(broker->ledger), "%s/leases", broker->dir);
	}
	assert_int_equal(pipe(ends), 0);
	fflush(NULL);
	broker->pid = fork();
	if (broker->pid == 0)
		broker_run(broker, recall_ns, ends[1]);
	close(ends[1]);
	assert_int_equal(read(ends[0], &word, 1), 1);
	assert_int_equal(word, 0);
	close(ends[0]);
}

void broker_kill(struct test_broker *broker)
{
	kill(broker->pid, SIGKILL);
	waitpid(broker->pid, NULL, 0);
}

void broker_end(struct test_broker *broker)
{
	broker_kill(broker);
	unlink(broker->socket);
	unlink(broker->ledger);
	assert_int_equal(rmdir(broker->dir), 0);
}

void vm_connect(struct fake_vm *vm, const struct test_broker *broker)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(vm, 0, sizeof(*vm));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", broker->socket);
	vm->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(vm->fd >= 0);
	assert_int_equal(connect(vm->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

void vm_close(struct fake_vm *vm)
{
	close(vm->fd);
}

void vm_send(struct fake_vm *vm, const char *line)
{
	size_t length = strlen(line);

	assert_int_equal(send(vm->fd, line, length, MSG_NOSIGNAL), length);
}

static void line_send(struct fake_vm *vm, char *line)
{
	assert_non_null(line);
	vm_send(vm, line);
	free(line);
}

void vm_join(struct fake_vm *vm, const char *name, uint64_t min, uint64_t max, uint64_t held)
{
	struct message_request request = {
		.min = min * MIB, .max = max * MIB, .weight = 100, .held = held * MIB};

	snprintf(request.name, sizeof(request.name), "%s", name);
	line_send(vm, message_join_line(&request));
}

void vm_demand(struct fake_vm *vm, uint64_t held, uint64_t want)
{
	const struct accounts_demand demand = {
		.held = held * MIB, .want = want * MIB, .serial = vm->lease.serial};

	line_send(vm, message_demand_line(&demand));
}

/* The next line; false if the connection has ended. */
static bool line_next(struct fake_vm *vm, const char **line, size_t *length)
{
	while (message_input_take(&vm->input, line, length) == 0) {
		struct pollfd poller = {.fd = vm->fd, .events = POLLIN};
		size_t size;
		char *room = message_input_room(&vm->input, &size);
		ssize_t got;

		assert_int_equal(poll(&poller, 1, WAIT_MS), 1);
		got = recv(vm->fd, room, size, 0);
		if (got <= 0)
			return false;
		message_input_put(&vm->input, (size_t)got);
	}
	return true;
}

int vm_read(struct fake_vm *vm, struct error *err)
{
	const char *line;
	size_t length;

	return line_next(vm, &line, &length) ? message_lease_read(line, length, &vm->lease, err)
					     : -EPIPE;
}

void vm_expect(struct fake_vm *vm, uint64_t mib)
{
	struct error err = {0};

	do {
		if (vm_read(vm, &err) < 0)
			fail_msg("no lease of %llu MiB: %s", (unsigned long long)mib, err.text);
	} while (vm->lease.bytes != mib * MIB);
}

bool vm_is_cut_off(struct fake_vm *vm)
{
	struct error err;
	int status;

	do {
		status = vm_read(vm, &err);
	} while (status < 0 && status != -EPIPE);
	return status == -EPIPE;
}

/* Answers are longer than a line of the VMs' protocol. */
json_t *broker_list(const struct test_broker *broker)
{
	static char text[1 << 20];
	struct fake_vm tool;
	size_t length = 0;
	json_t *answer;

	vm_connect(&tool, broker);
	vm_send(&tool, "{\"command\":\"list\"}\n");
	while (!memchr(text, '\n', length)) {
		ssize_t got = recv(tool.fd, text + length, sizeof(text) - length, 0);

		assert_true(got > 0);
		length += (size_t)got;
	}
	vm_close(&tool);
	answer = json_loadb(text, length, 0, NULL);
	assert_non_null(json_object_get(answer, "result"));
	return answer;
}

static json_t *vm_find(json_t *answer, const char *name)
{
	json_t *vms = json_object_get(json_object_get(answer, "result"), "vms"), *vm;
	size_t i;

	json_array_foreach(vms, i, vm)
		if (strcmp(json_string_value(json_object_get(vm, "name")), name) == 0)
			return vm;
	return NULL;
}

void broker_expect(const struct test_broker *broker, const char *name, const char *key,
		   const char *text)
{
	uint64_t end_ns = clock_now_ns() + WAIT_MS * NS_PER_MS;
	bool is_so = false;

	while (!is_so && clock_now_ns() < end_ns) {
		json_t *answer = broker_list(broker);
		const char *value = json_string_value(json_object_get(vm_find(answer, name), key));

		is_so = value && strcmp(value, text) == 0;
		json_decref(answer);
		usleep(20000);
	}
	if (!is_so)
		fail_msg("%s: %s is not %s", name, key, text);
}

void broker_expect_count(const struct test_broker *broker, size_t count)
{
	uint64_t end_ns = clock_now_ns() + WAIT_MS * NS_PER_MS;
	size_t now = SIZE_MAX;

	while (now != count && clock_now_ns() < end_ns) {
		json_t *answer = broker_list(broker);

		now = json_array_size(json_object_get(json_object_get(answer, "result"), "vms"));
		json_decref(answer);
		usleep(20000);
	}
	assert_int_equal(now, count);
}

uint64_t broker_mib(const struct test_broker *broker, const char *name, const char *key)
{
	json_t *answer = broker_list(broker);
	json_t *vm = vm_find(answer, name);
	uint64_t mib;

	assert_non_null(vm);
	mib = (uint64_t)json_integer_value(json_object_get(vm, key)) / MIB;
	json_decref(answer);
	return mib;
}
