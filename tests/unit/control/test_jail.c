// SPDX-License-Identifier: BSD-2-Clause
/*
 * Attempts to break out of the real jail: each in a process of its own, for each kind of thread,
 * for a VMM that root started and for one that a plain user started. The jail must stop each.
 * Without the jail the attempts marked `free` must work: otherwise their failure in the jail would
 * prove nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jail/guard.h"
#include "jail/jail.h"
#include "jail/landlock.h"
#include "jail/user.h"

#include "escape.h"
#include "jail_child.h"

#define ESCAPES_MAX 128

static const char *const kind_names[] = {"vCPU", "I/O",	  "main",  "worker",
					 "swap", "guard", "broker"};

static void touch_own_file(void)
{
	int fd = openat(scene.dir_fd, "own.sock", O_WRONLY | O_CREAT, 0666);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	close(fd);
	unlinkat(scene.dir_fd, "new", 0);
	unlinkat(scene.dir_fd, "new", AT_REMOVEDIR);
	unlinkat(scene.dir_fd, "taken", 0);
}

/* --- the table --- */
struct attempt {
	const struct escape *escape;
	enum jail_thread kind;
	bool plain;
	bool freedom;
	int *outcome; /* waitpid()'s status, in memory that is shared with the jailed process */
};

#define ATTEMPTS_MAX (ESCAPES_MAX * (2 * JAIL_THREAD_COUNT + 1))
static struct attempt attempts[ATTEMPTS_MAX];
static size_t attempt_count;

/* A thread of its kind for one attempt: a process of its own, since the jail may kill it. */
static int try_once(struct jail *jail, const struct attempt *attempt)
{
	struct error err;
	pid_t child = fork();
	int status = NOT_MADE << 8;

	if (child == 0) {
		if (attempt->kind == JAIL_THREAD_GUARD)
			_exit(run_in_guard(attempt->escape->act));
		if (jail_enter_thread(jail, attempt->kind, &err) < 0)
			_exit(NOT_MADE);
		_exit(attempt->escape->act());
	}
	waitpid(child, &status, 0);
	return status;
}

/* In a process that is like a VMM after its start: makes all attempts of one user. A guard
 * starts before the process's jail closes. */
static int try_all(bool plain, bool guard)
{
	struct jail *jail = NULL;
	int status = 0;

	if (plain)
		become_plain();
	open_sockets();
	scene.victim = make_victim();
	if (!guard)
		status = enter_process(JAIL_ON, 0, &jail);
	for (size_t i = 0; i < attempt_count && status == 0; i++)
		if (!attempts[i].freedom && attempts[i].plain == plain &&
		    (attempts[i].kind == JAIL_THREAD_GUARD) == guard)
			*attempts[i].outcome = try_once(jail, &attempts[i]);
	return status;
}

static int try_all_in_child(bool plain, bool guard)
{
	pid_t child;
	int status;

	touch_own_file();
	child = fork();
	if (child == 0)
		_exit(try_all(plain, guard));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status) == NO_JAIL ? 0 : -WEXITSTATUS(status);
}

static void an_attempt(void **state)
{
	const struct attempt *attempt = *state;
	int status = *attempt->outcome;

	if (status < 0)
		skip(); /* a sanitizer's build */
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGSYS);
	else if (attempt->escape->may & (1u << attempt->kind))
		assert_in_range(WEXITSTATUS(status), 0, 1);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
}

static void an_attempt_in_freedom(void **state)
{
	const struct attempt *attempt = *state;
	pid_t child;
	int status;

	if (!is_root())
		skip();
	touch_own_file();
	child = fork();
	if (child == 0) {
		open_sockets();
		scene.victim = make_victim();
		_exit(attempt->escape->act());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	expect_exit(status, 1);
}

/* --- operations that work, and limits in force --- */
static int live_on(void)
{
	/* Memory of all sizes, a descriptor, a lock's system call. */
	for (size_t size = 16; size < (64u << 20); size *= 4) {
		char *memory = malloc(size);

		if (!memory)
			return 1;
		memset(memory, 1, size);
		memory = realloc(memory, size * 2);
		free(memory);
	}
	return write(STDERR_FILENO, "", 0) == 0 ? 0 : 2;
}

static void each_thread_can_work(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_GUARD; kind++)
		for (unsigned plain = 0; plain < 2; plain++)
			expect_exit(in_jail(JAIL_ON, (enum jail_thread)kind, plain ? 0 : ~0u, plain,
					    live_on),
				    0);
}

static int signal_itself(void)
{
	return syscall(SYS_tgkill, getpid(), gettid(), 0) == 0 ? 0 : 1;
}

static void a_thread_may_signal_its_own_process(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_GUARD; kind++)
		expect_exit(in_jail(JAIL_ON, (enum jail_thread)kind, 0, false, signal_itself), 0);
}

static bool has_capability(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return true;
	for (unsigned i = 0; i < 2; i++)
		if (data[i].effective | data[i].permitted | data[i].inheritable)
			return true;
	for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0) != 0)
			return true;
	return false;
}

static bool has_bounding_set(void)
{
	for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (prctl(PR_CAPBSET_READ, capability) != 0)
			return true;
	return false;
}

static int look_at_process(bool root)
{
	const struct jail_state *now;
	struct rlimit core, data;
	struct jail *jail;
	int status = enter_process(JAIL_ON, 0, &jail);

	if (status)
		return status;
	now = jail_state(jail);
	if (has_capability())
		return 1;
	if ((root || now->user_namespace) && (has_bounding_set() || !now->bounding_empty))
		return 2;
	if (root && (getuid() == 0 || geteuid() == 0 || getgroups(0, NULL) != 0))
		return 3;
	if (!root && getuid() != PLAIN_USER)
		return 4;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 5;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0 ||
	    getrlimit(RLIMIT_DATA, &data) < 0 || data.rlim_max != now->heap_limit)
		return 6;
	if (root && (!now->mount_namespace || access("/etc", F_OK) == 0 || errno != ENOENT))
		return 7;
	if (now->landlock_abi != landlock_abi())
		return 8;
	if (malloc(2ull << 30))
		return 9;
	return 0;
}

static int process_of_root(void)
{
	return look_at_process(true);
}

static int process_of_plain_user(void)
{
	become_plain();
	return look_at_process(false);
}

static void no_process_keeps_a_capability_or_a_path(void **state)
{
	if (!is_root())
		skip();
	expect_exit(in_child(process_of_root), 0);
	expect_exit(in_child(process_of_plain_user), 0);
}

/* --- a user network --- */
static int use_network(void)
{
	if (!open_tcp() || socket(AF_INET, SOCK_DGRAM, 0) < 0)
		return 1;
	if (!connect_to_host())
		return 2;
	if (open_raw() || errno != EACCES)
		return 3;
	if (bind_port() || errno != EACCES)
		return 4;
	return 0;
}

static void a_user_network_opens_sockets(void **state)
{
	const unsigned net = JAIL_FEATURE_NET_USER;

	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, net, false, use_network), 0);
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, net, true, use_network), 0);
	for (unsigned kind = 0; kind < JAIL_THREAD_GUARD; kind++) {
		/* glibc's if_nametoindex() tries it. */
		if (kind == JAIL_THREAD_IO)
			expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, net, false, open_unix), 0);
		else
			expect_killed(
				in_jail(JAIL_ON, (enum jail_thread)kind, net, false, open_unix));
		expect_killed(
			in_jail(JAIL_ON, (enum jail_thread)kind, net, false, open_multipath_tcp));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, net, false, filter_packets));
		expect_killed(
			in_jail(JAIL_ON, (enum jail_thread)kind, net, false, send_descriptor));
		if (kind != JAIL_THREAD_IO)
			expect_killed(
				in_jail(JAIL_ON, (enum jail_thread)kind, net, false, open_tcp));
	}
}

/* --- hosts that lack a feature --- */
static int without_landlock(void)
{
	lack(SYS_landlock_create_ruleset, EOPNOTSUPP);
	return enter_and_act(JAIL_ON, JAIL_THREAD_IO, JAIL_FEATURE_NET_USER, read_file) == 0 &&
			       errno == EACCES
		       ? 0
		       : 1;
}

static void without_landlock_nothing_is_opened(void **state)
{
	expect_exit(in_child(without_landlock), 0);
}

static int without_namespaces(void)
{
	lack(SYS_unshare, EPERM);
	return enter_and_act(JAIL_ON, JAIL_THREAD_VCPU, 0, read_file);
}

static int plain_without_namespaces(void)
{
	become_plain();
	return without_namespaces();
}

static void without_namespaces_it_still_holds(void **state)
{
	expect_exit(in_child(without_namespaces), 0);
	expect_exit(in_child(plain_without_namespaces), 0);
}

/* --- the user of a VM --- */
static int choose_users(void)
{
	struct jail_user user;
	struct error err;

	unsetenv("SUDO_UID");
	unsetenv("PKEXEC_UID");
	if (jail_user_choose("1234:5678", &user, &err) < 0 || user.uid != 1234 || user.gid != 5678)
		return 1;
	if (jail_user_choose("nobody-of-this-name", &user, &err) != -EINVAL ||
	    jail_user_choose("4294967295", &user, &err) != -EINVAL ||
	    jail_user_choose("1234:no-such-group", &user, &err) != -EINVAL ||
	    jail_user_choose("-1", &user, &err) != -EINVAL)
		return 2;
	if (jail_user_choose("daemon", &user, &err) < 0 || user.uid == 0 || !user.wanted)
		return 3;
	setenv("SUDO_UID", "1234", 1);
	setenv("SUDO_GID", "5678", 1);
	if (jail_user_choose(NULL, &user, &err) < 0 || user.uid == 0)
		return 4;
	setenv("SUDO_UID", "0", 1);
	if (jail_user_choose(NULL, &user, &err) < 0 || user.uid == 0)
		return 5;
	become_plain();
	if (jail_user_choose("1234", &user, &err) != -EPERM ||
	    jail_user_choose(NULL, &user, &err) < 0 || user.change)
		return 6;
	return 0;
}

static void the_user_is_chosen(void **state)
{
	if (!is_root())
		skip();
	expect_exit(in_child(choose_users), 0);
}

/* --- development --- */
static void log_mode_lets_it_through(void **state)
{
	expect_exit(in_jail(JAIL_LOG, JAIL_THREAD_VCPU, 0, false, open_tcp), 1);
}

static void trap_mode_names_the_call(void **state)
{
	int pipe_fds[2], saved = dup(STDERR_FILENO), status;
	char text[256] = "";

	assert_int_equal(pipe(pipe_fds), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	status = in_jail(JAIL_TRAP, JAIL_THREAD_VCPU, 0, false, open_tcp);
	dup2(saved, STDERR_FILENO);
	close(pipe_fds[1]);
	assert_true(read(pipe_fds[0], text, sizeof(text) - 1) > 0);
	close(pipe_fds[0]);
	close(saved);
	expect_exit(status, 1);
	assert_non_null(strstr(text, "system call 41 (socket)"));
	assert_non_null(strstr(text, "vCPU thread"));
}

static int open_listener(int family, const void *address, socklen_t length)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, length) < 0 || listen(fd, 64) < 0)
		return -1;
	return fd;
}

static int setup(void **state)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof(address);
	int fd;

	if (pipe(scene.life) < 0 || !mkdtemp(scene.dir) || chmod(scene.dir, 0777) < 0)
		return -1;
	scene.dir_fd = open(scene.dir, O_RDONLY | O_DIRECTORY);
	scene.etc_fd = open("/etc", O_RDONLY | O_DIRECTORY);
	scene.true_fd = open("/bin/true", O_RDONLY);
	scene.file_fd = openat(scene.dir_fd, "file", O_RDWR | O_CREAT, 0666);
	fd = open_listener(AF_INET, &address, sizeof(address));
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -1;
	scene.port = ntohs(address.sin_port);
	scene.abstract.sun_family = AF_UNIX;
	snprintf(scene.abstract.sun_path + 1, 32, "symvm-test-jail-%d", (int)getpid());
	if (open_listener(AF_UNIX, &scene.abstract, sizeof(scene.abstract)) < 0 ||
	    scene.file_fd < 0)
		return -1;
	for (unsigned plain = is_root() ? 0 : 1; plain < 2; plain++)
		for (unsigned guard = 0; guard < 2; guard++)
			if (try_all_in_child(plain, guard) < 0)
				return -1;
	return 0;
}

static int teardown(void **state)
{
	unlinkat(scene.dir_fd, "file", 0);
	unlinkat(scene.dir_fd, "own.sock", 0);
	unlinkat(scene.dir_fd, "new", 0);
	unlinkat(scene.dir_fd, "new", AT_REMOVEDIR);
	unlinkat(scene.dir_fd, "taken", 0);
	return rmdir(scene.dir);
}

static struct CMUnitTest table[ATTEMPTS_MAX + 32];
static char names[ATTEMPTS_MAX][128];

static void add_attempt(struct attempt attempt, int *outcome)
{
	size_t number = attempt_count++;

	attempts[number] = attempt;
	attempts[number].outcome = outcome + number;
	outcome[number] = -1;
	if (attempt.freedom)
		snprintf(names[number], sizeof(names[0]), "in freedom: %s", attempt.escape->name);
	else
		snprintf(names[number], sizeof(names[0]), "%s thread%s: %s",
			 kind_names[attempt.kind], attempt.plain ? ", plain user" : "",
			 attempt.escape->name);
	table[number] = (struct CMUnitTest){
		.name = names[number],
		.test_func = attempt.freedom ? an_attempt_in_freedom : an_attempt,
		.initial_state = &attempts[number],
	};
}

static void add_escapes(const struct escape *escapes, size_t count, int *outcomes)
{
	for (size_t i = 0; i < count && attempt_count + 2 * JAIL_THREAD_COUNT < ATTEMPTS_MAX; i++) {
		for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
			for (unsigned plain = is_root() ? 0 : 1; plain < 2; plain++)
				add_attempt((struct attempt){.escape = &escapes[i],
							     .kind = (enum jail_thread)kind,
							     .plain = plain},
					    outcomes);
		if (escapes[i].free)
			add_attempt((struct attempt){.escape = &escapes[i], .freedom = true},
				    outcomes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thread_can_work),
		cmocka_unit_test(a_thread_may_signal_its_own_process),
		cmocka_unit_test(no_process_keeps_a_capability_or_a_path),
		cmocka_unit_test(a_user_network_opens_sockets),
		cmocka_unit_test(without_landlock_nothing_is_opened),
		cmocka_unit_test(without_namespaces_it_still_holds),
		cmocka_unit_test(the_user_is_chosen),
		cmocka_unit_test(log_mode_lets_it_through),
		cmocka_unit_test(trap_mode_names_the_call),
	};
	int *outcomes = mmap(NULL, ATTEMPTS_MAX * sizeof(int), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t count;

	if (outcomes == MAP_FAILED)
		return 1;
	add_escapes(escapes_host, escapes_host_count, outcomes);
	add_escapes(escapes_network, escapes_network_count, outcomes);
	add_escapes(escapes_kernel, escapes_kernel_count, outcomes);
	memcpy(table + attempt_count, tests, sizeof(tests));
	count = attempt_count + sizeof(tests) / sizeof(tests[0]);
	return _cmocka_run_group_tests("jail", table, count, setup, teardown);
}
