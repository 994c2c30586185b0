// SPDX-License-Identifier: BSD-2-Clause
/*
 * The promises of the broker, with fake VMs: each kills, lies, hangs, ignores a recall, floods, or
 * comes again.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/daemon/ledger.h"
#include "fake_vms.h"
#include "util/clock.h"

#define LONG_RECALL  (60 * NS_PER_SECOND)
#define SHORT_RECALL (NS_PER_SECOND / 10)

static struct test_broker broker;

static int setup(void **state)
{
	memset(&broker, 0, sizeof(broker));
	broker_begin(&broker, LONG_RECALL);
	return 0;
}

static int setup_short(void **state)
{
	memset(&broker, 0, sizeof(broker));
	broker_begin(&broker, SHORT_RECALL);
	return 0;
}

static int teardown(void **state)
{
	broker_end(&broker);
	return 0;
}

/* A VM with min 100 MiB that has 900 MiB. */
static void rich_join(struct fake_vm *vm, const char *name)
{
	vm_connect(vm, &broker);
	vm_join(vm, name, 100, 2000, 100);
	vm_expect(vm, 100);
	vm_demand(vm, 100, 900);
	vm_expect(vm, 900);
	vm_demand(vm, 900, 900);
}

static void test_one_needs_what_the_other_does_not(void **state)
{
	struct fake_vm a, b;

	rich_join(&a, "a");
	vm_connect(&b, &broker);
	vm_join(&b, "b", 100, 2000, 100);
	vm_expect(&b, 100);
	vm_demand(&a, 900, 200);
	vm_demand(&b, 100, 800);
	vm_expect(&a, 200);
	assert_true(a.lease.deadline_ms > 0);
	assert_int_equal(broker_mib(&broker, "b", "lease"), 100);
	vm_demand(&a, 200, 200);
	vm_expect(&b, 800);
	vm_close(&a);
	vm_close(&b);
}

static void test_min_is_there_for_a_vm_that_comes(void **state)
{
	struct fake_vm a, b;

	rich_join(&a, "a");
	vm_connect(&b, &broker);
	vm_join(&b, "b", 400, 400, 400);
	vm_expect(&a, 600);
	broker_expect(&broker, "b", "state", "waiting");
	vm_demand(&a, 600, 900);
	vm_expect(&b, 400);
	vm_close(&a);
	vm_close(&b);
}

static void test_a_full_host_refuses(void **state)
{
	struct fake_vm a, b;
	struct error err;

	vm_connect(&a, &broker);
	vm_join(&a, "a", 700, 700, 700);
	vm_expect(&a, 700);
	vm_connect(&b, &broker);
	vm_join(&b, "b", 500, 500, 500);
	assert_int_equal(vm_read(&b, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "200 MiB are missing for the 500 MiB"));
	assert_true(vm_is_cut_off(&b));
	broker_expect_count(&broker, 1);
	vm_close(&a);
	vm_close(&b);
}

static void test_who_ignores_a_recall_is_overdue(void **state)
{
	struct fake_vm a, b;
	struct error err;

	rich_join(&a, "a");
	vm_connect(&b, &broker);
	vm_join(&b, "b", 400, 400, 400);
	/* It does not even read. B is refused with words, and a keeps what it has. */
	assert_int_equal(vm_read(&b, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "did not return 300 MiB in time"));
	vm_close(&b);
	vm_demand(&a, 900, 100);
	broker_expect(&broker, "a", "state", "overdue");
	assert_int_equal(broker_mib(&broker, "a", "lease"), 900);
	/* Late is better than never. */
	vm_expect(&a, 100);
	vm_demand(&a, 100, 100);
	broker_expect(&broker, "a", "state", "held");
	assert_int_equal(broker_mib(&broker, "a", "lease"), 100);
	vm_close(&a);
}

static void test_a_killed_broker_is_continued(void **state)
{
	struct fake_vm a, b;

	rich_join(&a, "a");
	vm_connect(&b, &broker);
	vm_join(&b, "b", 100, 100, 100);
	vm_expect(&b, 100);
	broker_kill(&broker);
	assert_true(vm_is_cut_off(&a));
	broker_begin(&broker, LONG_RECALL);
	/* Nobody gets it before its VM is there again. */
	broker_expect(&broker, "a", "state", "absent");
	assert_int_equal(broker_mib(&broker, "a", "lease"), 900);
	vm_close(&a);
	vm_connect(&a, &broker);
	vm_join(&a, "a", 100, 2000, 900);
	vm_expect(&a, 900);
	/* B did not notice yet. */
	broker_expect(&broker, "b", "state", "absent");
	vm_close(&a);
	vm_close(&b);
}

static void test_a_claim_after_a_kill_is_no_more_than_the_lease(void **state)
{
	struct fake_vm a;

	rich_join(&a, "a");
	broker_kill(&broker);
	broker_begin(&broker, LONG_RECALL);
	vm_close(&a);
	vm_connect(&a, &broker);
	vm_join(&a, "a", 100, 2000, 2000);
	vm_expect(&a, 900);
	vm_close(&a);
}

static pid_t child_run(const char *name)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct fake_vm vm;

		rich_join(&vm, name);
		pause();
		_exit(1);
	}
	broker_expect(&broker, name, "state", "held");
	while (broker_mib(&broker, name, "lease") != 900)
		usleep(20000);
	return pid;
}

static void test_a_killed_vm_returns_everything(void **state)
{
	pid_t pid = child_run("a");
	struct fake_vm b;

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	vm_connect(&b, &broker);
	vm_join(&b, "b", 1000, 1000, 1000);
	vm_expect(&b, 1000);
	broker_expect_count(&broker, 1);
	vm_close(&b);
}

static void test_a_vm_that_died_with_the_broker_has_nothing(void **state)
{
	pid_t pid = child_run("a");

	broker_kill(&broker);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	broker_begin(&broker, LONG_RECALL);
	broker_expect_count(&broker, 0);
}

static void test_nobody_takes_the_lease_of_another(void **state)
{
	pid_t pid = child_run("a");
	struct fake_vm thief;
	struct error err;

	vm_connect(&thief, &broker);
	vm_join(&thief, "a", 100, 2000, 900);
	assert_int_equal(vm_read(&thief, &err), -EEXIST);
	vm_close(&thief);
	broker_kill(&broker);
	broker_begin(&broker, LONG_RECALL);
	broker_expect(&broker, "a", "state", "absent");
	vm_connect(&thief, &broker);
	vm_join(&thief, "a", 100, 2000, 900);
	assert_int_equal(vm_read(&thief, &err), -EEXIST);
	vm_close(&thief);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	broker_expect_count(&broker, 0);
}

static void test_a_flood_hurts_its_sender_only(void **state)
{
	const char line[] = "{\"command\":\"demand\",\"arguments\":{\"held\":0,\"serial\":0}}\n";
	struct fake_vm a, b;
	ssize_t sent = 0;

	vm_connect(&a, &broker);
	vm_join(&a, "a", 100, 2000, 100);
	vm_expect(&a, 100);
	/* Until the broker does not take more. */
	for (unsigned i = 0; i < 200000 && sent >= 0; i++)
		sent = send(a.fd, line, sizeof(line) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	assert_int_equal(sent, -1);
	assert_int_equal(errno, EAGAIN);
	vm_connect(&b, &broker);
	vm_join(&b, "b", 100, 2000, 100);
	vm_expect(&b, 100);
	vm_demand(&b, 100, 500);
	vm_expect(&b, 500);
	assert_int_equal(broker_mib(&broker, "a", "lease"), 100);
	vm_close(&a);
	vm_close(&b);
}

static void test_bad_lines_end_the_connection(void **state)
{
	static const char *const lines[] = {
		"\n",
		"[]\n",
		"{\"command\":\"join\"}\n",
		"{\"command\":\"obey\"}\n",
		"{\"command\":\"list\",\"arguments\":7}\n",
		"{\"command\":\"list\",\"x\":1}\n",
		"{\"command\":\"demand\",\"arguments\":{\"held\":1,\"serial\":1}}\n",
		"{\"command\":\"explain\",\"arguments\":{\"name\":\"../x\"}}\n",
		"{\"command\":\"join\",\"arguments\":{\"name\":\"a\",\"min\":-1,\"max\":1,"
		"\"weight\":1}}\n",
		"{\"command\":\"join\",\"arguments\":{\"name\":\"a\",\"min\":2,\"max\":1,"
		"\"weight\":1}}\n",
		"{\"command\":\"join\",\"arguments\":{\"name\":\"a\",\"min\":1,\"max\":1,"
		"\"weight\":0}}\n",
		"{\"command\":\"join\",\"arguments\":{\"name\":\"a\",\"min\":1e3,\"max\":1,"
		"\"weight\":1}}\n",
		"{\"command\":\"join\",\"arguments\":{\"name\":\"a\",\"min\":1,\"max\":9e99,"
		"\"weight\":1}}\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct fake_vm vm;
		struct error err;

		vm_connect(&vm, &broker);
		vm_send(&vm, lines[i]);
		if (vm_read(&vm, &err) >= 0 || !vm_is_cut_off(&vm))
			fail_msg("accepted: %s", lines[i]);
		vm_close(&vm);
	}
	broker_expect_count(&broker, 0);
}

static void test_a_line_without_end(void **state)
{
	char text[2 * MESSAGE_LINE_MAX];
	struct fake_vm vm;
	struct error err;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	vm_connect(&vm, &broker);
	vm_send(&vm, text);
	assert_int_equal(vm_read(&vm, &err), -EMSGSIZE);
	vm_close(&vm);
	broker_expect_count(&broker, 0);
}

static void test_many_idle_clients(void **state)
{
	struct fake_vm idle[100], a;

	vm_connect(&a, &broker);
	vm_join(&a, "a", 100, 200, 100);
	vm_expect(&a, 100);
	for (unsigned i = 0; i < 100; i++)
		vm_connect(&idle[i], &broker);
	broker_expect(&broker, "a", "state", "held");
	/* The first ones made room. */
	assert_true(vm_is_cut_off(&idle[0]));
	for (unsigned i = 0; i < 100; i++)
		vm_close(&idle[i]);
	vm_demand(&a, 100, 200);
	vm_expect(&a, 200);
	vm_close(&a);
}

static void test_one_ledger_one_broker(void **state)
{
	struct ledger ledger;
	struct error err;

	assert_int_equal(ledger_open(&ledger, broker.ledger, &err), -EEXIST);
	assert_non_null(strstr(err.text, "a broker runs already"));
}

static void test_a_damaged_ledger_is_cleared(void **state)
{
	struct ledger ledger;
	struct error err;

	broker_kill(&broker);
	assert_int_equal(ledger_open(&ledger, broker.ledger, &err), 0);
	memset(ledger.records, 0xa5, ACCOUNTS_VMS_MAX * sizeof(*ledger.records));
	ledger.records[0].valid = 1;
	ledger.records[1] = (struct ledger_record){
		.name = "b", .pid = 1, .min = 3, .max = 2, .granted = 3, .weight = 1, .valid = 1};
	ledger_close(&ledger);
	broker_begin(&broker, LONG_RECALL);
	broker_expect_count(&broker, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_needs_what_the_other_does_not),
		TEST(test_min_is_there_for_a_vm_that_comes),
		TEST(test_a_full_host_refuses),
		cmocka_unit_test_setup_teardown(test_who_ignores_a_recall_is_overdue, setup_short,
						teardown),
		TEST(test_a_killed_broker_is_continued),
		TEST(test_a_claim_after_a_kill_is_no_more_than_the_lease),
		TEST(test_a_killed_vm_returns_everything),
		TEST(test_a_vm_that_died_with_the_broker_has_nothing),
		TEST(test_nobody_takes_the_lease_of_another),
		TEST(test_a_flood_hurts_its_sender_only),
		TEST(test_bad_lines_end_the_connection),
		TEST(test_a_line_without_end),
		TEST(test_many_idle_clients),
		TEST(test_one_ledger_one_broker),
		TEST(test_a_damaged_ledger_is_cleared),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
