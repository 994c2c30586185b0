// SPDX-License-Identifier: BSD-2-Clause
/* The commands that ask a guest: their JSON for a guest with known answers. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../services/fake_vm.h"
#include "control/control.h"
#include "machine/service.h"

REGISTRY_DECLARE(symvm_control_commands, struct control_command);

static struct vm vm;
static struct error err;
static bool tasks_texts; /* the module knows SYM_TASKS_TEXTS */

static int answer_tasks(const struct sym_call_request *request, struct sym_call_result *result)
{
	static const struct sym_task task = {
		.pid = 1,
		.tgid = 2,
		.ppid = 3,
		.uid = 4,
		.state = 'R',
		.cpu = 5,
		.threads = 6,
		.rss = 7,
		.utime_ns = 8,
		.stime_ns = 9,
		.start_ns = 10,
		.comm = "in\xff\x1bit", /* not UTF-8, and an escape */
		.cgroup = "/\xc3\xa4",
	};

	static const struct {
		struct sym_task task;
		struct sym_task_text head;
		char text[sizeof(struct sym_task) - sizeof(struct sym_task_text)];
	} texted = {
		{.pid = 1,
		 .state = 'S',
		 .flags = SYM_TASK_ARGS_CUT | 1 << SYM_TASK_TEXT_SHIFT,
		 .comm = "x"},
		{3, 7},
		"w\xff_a\x1b\0b\0\xff.",
	};

	if (request->args[0] == 0 && tasks_texts && request->args[2] & SYM_TASKS_TEXTS)
		*result = (struct sym_call_result){.value = 8};
	else if (request->args[0] == 0 && request->args[2] & SYM_TASKS_TEXTS)
		*result = (struct sym_call_result){.value = -EINVAL};
	else if (request->args[0] == 0)
		*result = (struct sym_call_result){.value = 7};
	else if (request->args[1] == 0 && request->args[0] == 8)
		return fake_message(request, result, &texted, sizeof(texted));
	else if (request->args[1] == 0)
		return fake_message(request, result, &task, sizeof(task));
	else
		*result = (struct sym_call_result){0};
	return 0;
}

/* The guest has the tasks 12, which sleeps, and 13, which runs on a vCPU that is not there. */
static int answer_task_stack(const struct sym_call_request *request, struct sym_call_result *result)
{
	struct {
		struct sym_task_stack head;
		char text[8];
	} answer = {
		{.pid = 12,
		 .tgid = 11,
		 .state = 'D',
		 .cpu = 1,
		 .start_ns = 13,
		 .comm = "a\x1b",
		 .wait_channel = "w\xff"},
		"f\x1b+0x1\n",
	};

	if (request->args[0] == 12)
		return fake_message(request, result, &answer, sizeof(answer.head) + 7);
	answer.head = (struct sym_task_stack){
		.pid = 13, .tgid = 13, .state = 'R', .cpu = 9, .flags = SYM_TASK_STACK_RUNNING};
	if (request->args[0] == 13)
		return fake_message(request, result, &answer, sizeof(answer.head));
	*result = (struct sym_call_result){.value = -ESRCH};
	return 0;
}

static int answer(struct vcpu *vcpu, const struct sym_call_request *request,
		  struct sym_call_result *result)
{
	const struct sym_whoami task = {
		.pid = 1,
		.tgid = 2,
		.ppid = 3,
		.uid = 4,
		.cpu = vcpu->id,
		.flags = SYM_WHOAMI_IDLE,
		.user_rip = 6,
		.user_rsp = 7,
		.start_ns = 8,
		.comm = "swapper",
		.cgroup = "/",
	};
	const struct sym_meminfo memory = {1, 2, 3, 4, 5, 6, 7, 8};

	switch (request->number) {
	case SYM_CALL_WHOAMI:
		return fake_message(request, result, &task, sizeof(task));
	case SYM_CALL_MEMINFO:
		return fake_message(request, result, &memory, sizeof(memory));
	case SYM_CALL_STACK:
		return fake_message(request, result, "a+0x1/0x2\nb+0x3/0x4\n", 20);
	case SYM_CALL_TASK_STACK:
		return answer_task_stack(request, result);
	case SYM_CALL_TASKS:
		return answer_tasks(request, result);
	default:
		*result = (struct sym_call_result){
			.value = (int64_t)(request->args[0] + request->args[4]),
		};
		return 0;
	}
}

static int setup(void **state)
{
	memset(&vm, 0, sizeof(vm));
	memset(&err, 0, sizeof(err));
	tasks_texts = false;
	fake_vm_init(&vm, answer);
	return 0;
}

/* Runs a command as a worker does. *@result is the answer's JSON, owned by the caller, or NULL. */
static int run(const char *name, const char *arguments, char **result)
{
	const struct control_command *const *it;
	json_t *parsed = json_loads(arguments, 0, NULL), *answer_json = NULL;
	struct wait_limit limit;
	int status = -ENOSYS;

	assert_non_null(parsed);
	wait_limit_init(&limit, 3600000);
	REGISTRY_FOR_EACH(symvm_control_commands, it)
		if (strcmp((*it)->name, name) == 0)
			status = (*it)->handle_until(&vm, parsed, &limit, &answer_json, &err);
	*result = answer_json ? json_dumps(answer_json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	json_decref(answer_json);
	json_decref(parsed);
	return status;
}

static void expect(const char *name, const char *arguments, const char *expected)
{
	char *result;

	assert_int_equal(run(name, arguments, &result), 0);
	assert_string_equal(result, expected);
	free(result);
}

static void refused(const char *name, const char *arguments, int status, const char *words)
{
	char *result;

	assert_int_equal(run(name, arguments, &result), status);
	assert_string_equal(err.text, words);
	assert_null(result);
}

static void calls_have_their_answers(void **state)
{
	expect("call", "{\"call\":\"ping\",\"args\":[1,2,3,4,5]}", "{\"value\":6}");
	expect("call", "{\"number\":9,\"args\":[40]}", "{\"value\":40}");
	expect("call", "{\"call\":\"whoami\",\"vcpu\":1}",
	       "{\"pid\":1,\"tgid\":2,\"ppid\":3,\"uid\":4,\"cpu\":1,\"comm\":\"swapper\","
	       "\"cgroup\":\"/\",\"kernel_thread\":false,\"idle\":true,\"in_kernel\":false,"
	       "\"user_rip\":6,\"user_rsp\":7,\"start_ns\":8}");
	expect("call", "{\"call\":\"meminfo\"}",
	       "{\"mem_total\":1,\"mem_free\":2,\"mem_available\":3,\"swap_total\":4,"
	       "\"swap_free\":5,\"swap_in\":6,\"swap_out\":7,\"major_faults\":8}");
	expect("call", "{\"call\":\"stack\"}", "{\"frames\":[\"a+0x1/0x2\",\"b+0x3/0x4\"]}");
}

/* All names in the table, and no other. */
static void a_call_that_is_not_known_names_those_that_are(void **state)
{
	refused("call", "{\"call\":\"pong\"}", -EINVAL,
		"call: 'pong' is none of ping, meminfo, stack, whoami");
	assert_int_equal(fake_vm.calls, 0);
}

static void wrong_arguments_of_call_are_refused(void **state)
{
	refused("call", "{}", -EINVAL, "call: expected either a name or a number");
	refused("call", "{\"call\":\"ping\",\"number\":0}", -EINVAL,
		"call: expected either a name or a number");
	refused("call", "{\"call\":\"ping\",\"args\":[1,2,3,4,5,6]}", -EINVAL,
		"args: expected a list of at most 5 numbers");
	refused("call", "{\"call\":\"ping\",\"args\":[1,\"2\"]}", -EINVAL,
		"args: value 1 is not an integer");
	refused("call", "{\"call\":\"ping\",\"vcpu\":2}", -ENXIO,
		"vCPU 2: this VM has vCPUs 0 to 1");
	refused("call", "{\"number\":4096}", -EINVAL, "number: expected an integer, 0 to 4095");
}

static void ps_lists_tasks(void **state)
{
	expect("ps", "{}",
	       "{\"tasks\":[{\"pid\":1,\"tgid\":2,\"ppid\":3,\"uid\":4,\"state\":\"R\","
	       "\"kernel_thread\":false,\"cpu\":5,\"threads\":6,\"rss\":7,\"utime_ns\":8,"
	       "\"stime_ns\":9,\"start_ns\":10,\"comm\":\"in?\\u001Bit\","
	       "\"cgroup\":\"/\\u00E4\"}],\"complete\":true}");
	tasks_texts = true;
	expect("ps", "{}",
	       "{\"tasks\":[{\"pid\":1,\"tgid\":0,\"ppid\":0,\"uid\":0,\"state\":\"S\","
	       "\"kernel_thread\":false,\"cpu\":0,\"threads\":0,\"rss\":0,\"utime_ns\":0,"
	       "\"stime_ns\":0,\"start_ns\":0,\"comm\":\"x\",\"cgroup\":\"\","
	       "\"wait_channel\":\"w?_\",\"args\":\"a\\u001B b ?.\",\"args_cut\":true}],"
	       "\"complete\":true}");
	refused("ps", "{\"threads\":1}", -EINVAL, "threads: expected true or false");
}

static void stack_shows_a_task_or_a_vcpu(void **state)
{
	expect("stack", "{\"pid\":12}",
	       "{\"pid\":12,\"tgid\":11,\"comm\":\"a\\u001B\",\"state\":\"D\",\"cpu\":1,"
	       "\"running\":false,\"in_user\":false,\"start_ns\":13,\"wait_channel\":\"w?\","
	       "\"frames\":[\"f\\u001B+0x1\"]}");
	expect("stack", "{\"pid\":13}",
	       "{\"pid\":13,\"tgid\":13,\"comm\":\"\",\"state\":\"R\",\"cpu\":9,"
	       "\"running\":true,\"in_user\":false,\"start_ns\":0,\"wait_channel\":null,"
	       "\"frames\":[]}");
	expect("stack", "{}", "{\"vcpu\":0,\"frames\":[\"a+0x1/0x2\",\"b+0x3/0x4\"]}");
	expect("stack", "{\"vcpu\":1}", "{\"vcpu\":1,\"frames\":[\"a+0x1/0x2\",\"b+0x3/0x4\"]}");
}

static void wrong_arguments_of_stack_are_refused(void **state)
{
	refused("stack", "{\"pid\":14}", -ESRCH, "the guest has no task 14");
	refused("stack", "{\"pid\":0}", -EINVAL, "pid: expected an integer, 1 to 2147483647");
	refused("stack", "{\"pid\":12,\"vcpu\":0}", -EINVAL,
		"stack: expected either a PID or a vCPU");
	refused("stack", "{\"vcpu\":2}", -ENXIO, "vCPU 2: this VM has vCPUs 0 to 1");
}

static void a_vm_that_cannot_be_asked_says_why(void **state)
{
	static const char *const commands[] = {"call", "ps", "stack"};
	static const char *const arguments[] = {"{\"call\":\"ping\"}", "{}", "{\"pid\":1}"};

	atomic_store(&fake_vm.paused, true);
	for (unsigned i = 0; i < 3; i++)
		refused(commands[i], arguments[i], -EBUSY, "the VM is paused");
	atomic_store(&vm.end, VM_END_STOPPED);
	for (unsigned i = 0; i < 3; i++)
		refused(commands[i], arguments[i], -ESHUTDOWN, "the VM has ended");
	vm.symbiotic = NULL;
	for (unsigned i = 0; i < 3; i++)
		refused(commands[i], arguments[i], -EOPNOTSUPP,
			"this VM runs without the symbiotic interface (--symbiotic off)");
	assert_int_equal(fake_vm.calls, 0);
}

static void wrong_arguments_of_exits_are_refused(void **state)
{
	refused("exits", "{\"reason\":\"io,nmi\"}", -EINVAL,
		"reason: 'nmi' is none of io, mmio, doorbell, hlt, interrupt, all");
	refused("exits", "{\"reason\":\"\"}", -EINVAL,
		"reason: '' is none of io, mmio, doorbell, hlt, interrupt, all");
	refused("exits", "{\"sample\":0}", -EINVAL, "sample: expected an integer, 1 to 100");
	refused("exits", "{\"seconds\":601}", -EINVAL, "seconds: expected an integer, 1 to 600");
	refused("exits", "{\"port\":1}", -EINVAL, "unknown argument 'port'");
	refused("exits", "{}", -EOPNOTSUPP,
		"this VM runs without the symbiotic interface (--symbiotic off)");
	assert_int_equal(fake_vm.calls, 0);
}

/* Another client: waits for the watch, causes two exits, and ends the watch. */
static void *cause_exits(void *opaque)
{
	struct kvm_run run = {.exit_reason = KVM_EXIT_IO};
	json_t *arguments = json_pack("{s:b}", "end", 1), *result = NULL;
	const struct control_command *const *it;
	struct wait_limit limit;
	struct error words;

	run.io.direction = KVM_EXIT_IO_OUT;
	run.io.port = 0x5f0;
	while (!exit_is_observed(&vm.exit_observers, KVM_EXIT_IO))
		usleep(100);
	exit_observers_show(&vm.exit_observers, vm.vcpus[1], &run);
	run.io.port = 0xc000;
	exit_observers_show(&vm.exit_observers, vm.vcpus[1], &run);
	exit_observers_show(&vm.exit_observers, vm.vcpus[1], &run);
	wait_limit_init(&limit, 3600000);
	REGISTRY_FOR_EACH(symvm_control_commands, it)
		if (strcmp((*it)->name, "exits") == 0)
			(*it)->handle_until(&vm, arguments, &limit, &result, &words);
	json_decref(arguments);
	return NULL;
}

static void exits_are_rows(void **state)
{
	struct doorbell bell = {.port = 0xc000, .fd = -1, .device = "disk0", .queue = 1};
	const char *task = "{\"pid\":1,\"tgid\":2,\"ppid\":3,\"uid\":4,\"cpu\":1,"
			   "\"comm\":\"swapper\",\"cgroup\":\"/\",\"kernel_thread\":false,"
			   "\"idle\":true,\"in_kernel\":false,\"user_rip\":6,\"user_rsp\":7,"
			   "\"start_ns\":8},\"stack\":[\"a+0x1/0x2\",\"b+0x3/0x4\"]}";
	char expected[2048], *result;
	pthread_t other;

	exit_observers_init(&vm.exit_observers);
	doorbells_init(&vm.doorbells);
	vm.fd = -1;
	doorbell_add(&vm, &bell);
	assert_int_equal(services_start(&vm, &err), 0);
	pthread_create(&other, NULL, cause_exits, NULL);
	assert_int_equal(run("exits", "{\"stack\":true,\"reason\":\"doorbell,io\"}", &result), 0);
	pthread_join(other, NULL);
	snprintf(expected, sizeof(expected),
		 "\"sample\":100,\"totals\":{\"io\":{\"exits\":1,\"asked\":1,"
		 "\"unattributed\":0},\"doorbell\":{\"exits\":2,\"asked\":2,"
		 "\"unattributed\":0}},\"rows\":[{\"count\":2,\"reason\":\"doorbell\","
		 "\"port\":49152,\"write\":true,\"device\":\"disk0\",\"queue\":1,\"task\":%s,"
		 "{\"count\":1,\"reason\":\"io\",\"port\":1520,\"write\":true,\"task\":%s],"
		 "\"other\":0}",
		 task, task);
	assert_non_null(strstr(result, "\"sample\""));
	assert_string_equal(strstr(result, "\"sample\""), expected);
	free(result);
	services_stop(&vm);
	doorbell_remove(&vm, &bell);
	doorbells_destroy(&vm.doorbells);
	exit_observers_destroy(&vm.exit_observers);
}

static void wrong_arguments_of_who_are_refused(void **state)
{
	refused("who", "{}", -EINVAL, "who: expected either a port or an address");
	refused("who", "{\"port\":1,\"address\":1}", -EINVAL,
		"who: expected either a port or an address");
	refused("who", "{\"port\":65536}", -EINVAL, "port: expected an integer, 0 to 65535");
	refused("who", "{\"port\":1,\"count\":1001}", -EINVAL,
		"count: expected an integer, 1 to 1000");
	refused("who", "{\"port\":1}", -EOPNOTSUPP,
		"this VM runs without the symbiotic interface (--symbiotic off)");
}

#define CASE(function) cmocka_unit_test_setup(function, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(calls_have_their_answers),
		CASE(a_call_that_is_not_known_names_those_that_are),
		CASE(wrong_arguments_of_call_are_refused),
		CASE(ps_lists_tasks),
		CASE(stack_shows_a_task_or_a_vcpu),
		CASE(wrong_arguments_of_stack_are_refused),
		CASE(a_vm_that_cannot_be_asked_says_why),
		CASE(exits_are_rows),
		CASE(wrong_arguments_of_exits_are_refused),
		CASE(wrong_arguments_of_who_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
