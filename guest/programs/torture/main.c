// SPDX-License-Identifier: BSD-2-Clause
/* swap-torture [OPTION]... TEST...|all|list: the tests as TAP; then one case for the kernel's log.
 */
#include "torture.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CGROUPS	   "/sys/fs/cgroup"
#define TEST_LIMIT 120 /* seconds a test may take beyond its own --seconds */

extern const struct torture_test __start_torture_tests[], __stop_torture_tests[];

struct options {
	struct torture_context context;
	char **names;
};

enum key {
	KEY_SIGBUS = 256,
	KEY_SWAPLESS,
};

static const struct argp_option keyval_list[] = {
	{"size", 's', "MIB", 0, "Of a test's region (default: 12)", 0},
	{"seconds", 'n', "N", 0, "For tests that go on for a time (default: 5)", 0},
	{"device", 'd', "DEVICE", 0, "The swap device, for tests that switch it off and on", 0},
	{"module", 'm', "NAME", 0, "Its driver, for the test that reloads it", 0},
	{"disk", 'k', "DEVICE", 0, "A disk that may be overwritten", 0},
	{"allow-sigbus", KEY_SIGBUS, NULL, 0,
	 "The store is being failed: lost pages may be missing", 0},
	{"swapless", KEY_SWAPLESS, NULL, 0, "Run where nothing swaps", 0},
	{0},
};

static unsigned long parse_number(const char *text, unsigned long high, struct argp_state *state)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < 1 || value > high)
		argp_error(state, "'%s' is no number from 1 to %lu", text, high);
	return value;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 's':
		options->context.pages = parse_number(argument, 1 << 16, state) * PAGES_PER_MIB;
		break;
	case 'n':
		options->context.seconds = (unsigned int)parse_number(argument, 86400, state);
		break;
	case 'd':
		options->context.device = argument;
		break;
	case 'm':
		options->context.module = argument;
		break;
	case 'k':
		options->context.disk = argument;
		break;
	case KEY_SIGBUS:
		options->context.sigbus_allowed = true;
		break;
	case KEY_SWAPLESS:
		options->context.swapless = true;
		break;
	case ARGP_KEY_ARGS:
		options->names = state->argv + state->next;
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which tests? (`list` shows them)");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* Messages of the kernel from now on. */
static int kernel_log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* Show what the kernel complained of; how many lines. */
static int kernel_log_complaints(int fd)
{
	static const char *const words[] = {
		"WARNING",
		"BUG",
		"Oops",
		"Call Trace",
		"Bad page",
		"stall",
		"lockup",
		"Bad swap",
		"Unused swap",
		"swap_free",
		"swap_dup",
		"get_swap_device",
		"general protection",
		"scheduling while",
		"RIP:",
		"possible recursive",
		"refcount",
		"hung_task",
	};
	char record[2048];
	ssize_t length;
	int complaints = 0;

	while ((length = read(fd, record, sizeof(record) - 1)) > 0 ||
	       (length < 0 && errno == EPIPE)) {
		if (length < 0)
			continue; /* some were lost */
		record[length] = 0;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
			if (!strstr(record, words[i]))
				continue;
			printf("# kernel: %.*s\n", (int)strcspn(record, "\n"), record);
			complaints++;
			break;
		}
	}
	return complaints;
}

/* Each test has a cgroup, so that it can be limited and reclaimed from. */
static void cgroup_prepare(void)
{
	if (access(CGROUPS "/cgroup.controllers", F_OK) != 0)
		mount("none", CGROUPS, "cgroup2", 0, NULL);
	torture_put(CGROUPS "/cgroup.subtree_control", "+memory");
}

static void cgroup_enter(void)
{
	mkdir(CGROUPS "/torture", 0755);
	torture_put(CGROUPS "/torture/cgroup.procs", "0");
}

/* A cgroup goes when its processes are gone. */
static void cgroup_remove(void)
{
	for (int i = 0; i < 200 && rmdir(CGROUPS "/torture") != 0 && errno == EBUSY; i++)
		usleep(10000);
}

static int test_run(const struct torture_test *test, const struct torture_context *context)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return torture_fail("fork: %s", strerror(errno));
	if (pid == 0) {
		setpgid(0, 0);
		cgroup_enter();
		alarm(context->seconds + TEST_LIMIT);
		status = test->run(context);
		fflush(stdout);
		_exit(status);
	}
	status = torture_wait(pid);
	kill(-pid, SIGKILL); /* what it left behind */
	cgroup_remove();
	return status;
}

static bool test_report(unsigned int number, const struct torture_test *test,
			const struct torture_context *context)
{
	struct vm_counters before = vm_counters_read(), after;
	uint64_t start = clock_ns();
	int status = test_run(test, context);

	after = vm_counters_read();
	start = (clock_ns() - start) / 1000000;
	if (status == TORTURE_SKIP) {
		printf("ok %u %s # SKIP see above\n", number, test->name);
		return true;
	}
	printf("%s %u %s: %s # %" PRIu64 " ms, %" PRIu64 " pages out, %" PRIu64 " in",
	       status == 0 ? "ok" : "not ok", number, test->name, test->text, start,
	       after.swap_out - before.swap_out, after.swap_in - before.swap_in);
	if (status > 128)
		printf(", killed by signal %d%s", status - 128,
		       status - 128 == SIGALRM ? ": it took too long" : "");
	printf("\n");
	return status == 0;
}

static bool test_wanted(const struct torture_test *test, char **names)
{
	for (; *names; names++) {
		if (strcmp(*names, test->name) == 0)
			return true;
		if (strcmp(*names, "all") == 0 && !test->only_by_name)
			return true;
	}
	return false;
}

/* A name that fits no test is an error, or a typing error would pass for a success. */
static const char *name_unknown(char **names)
{
	for (; *names; names++) {
		const struct torture_test *test = __start_torture_tests;

		while (test < __stop_torture_tests && strcmp(*names, test->name) != 0)
			test++;
		if (test == __stop_torture_tests && strcmp(*names, "all") != 0)
			return *names;
	}
	return NULL;
}

static int tests_list(void)
{
	for (const struct torture_test *test = __start_torture_tests; test < __stop_torture_tests;
	     test++)
		printf("%-16s %s%s\n", test->name, test->text,
		       test->only_by_name ? " (only by name)" : "");
	return 0;
}

int main(int argc, char **argv)
{
	struct options options = {
		.context = {.pages = 12 * PAGES_PER_MIB, .seconds = 5},
	};
	static const struct argp argp = {
		.options = keyval_list,
		.parser = parse_option,
		.args_doc = "TEST...|all|list",
		.doc = "What programs do to memory, while it is swapped out.",
	};
	unsigned int number = 0, failed = 0;
	int log;

	if (argc == 2 && strcmp(argv[1], "nothing") == 0)
		return 0; /* what the exec storm starts */
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return tests_list();
	if (argp_parse(&argp, argc, argv, 0, NULL, &options))
		return 2;
	if (name_unknown(options.names)) {
		fprintf(stderr, "swap-torture: no test '%s'\n", name_unknown(options.names));
		return 2;
	}
	setvbuf(stderr, NULL, _IOLBF, 0);
	cgroup_prepare();
	log = kernel_log_open();
	for (const struct torture_test *test = __start_torture_tests; test < __stop_torture_tests;
	     test++)
		if (test_wanted(test, options.names))
			failed += !test_report(++number, test, &options.context);
	if (log < 0 || kernel_log_complaints(log)) {
		printf("not ");
		failed++;
	}
	printf("ok %u kernel-log: the kernel has nothing to complain of\n1..%u\n", number + 1,
	       number + 1);
	printf("torture %s\n", failed ? "FAILED" : "ok");
	return failed ? 1 : 0;
}
