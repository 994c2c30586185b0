// SPDX-License-Identifier: BSD-2-Clause
/* What a jailed thread can't do any more, tried out in a child process each. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
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
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jail/jail.h"
#include "jail/landlock.h"

static char dir[] = "/tmp/symvm-test-XXXXXX";

/* What the child does in jail; its result is the exit status. */
typedef int (*deed)(int state_fd);

/* Runs @act in a jailed child; returns waitpid()'s status. */
static int in_jail(enum jail_mode mode, enum jail_thread kind, deed act)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		int state_fd = open(dir, O_RDONLY | O_DIRECTORY);
		struct jail *jail;
		struct error err;
		struct log log;

		log_init(&log, STDERR_FILENO, LOG_LEVEL_ERROR);
		if (jail_create(mode, state_fd, &log, &jail, &err) < 0 ||
		    jail_enter_thread(jail, kind, &err) < 0)
			_exit(100);
		if (!jail)
			_exit(101); /* a sanitizer's build */
		_exit(act(state_fd));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 101)
		skip();
	return status;
}

static void expect_exit(int status, int code)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void expect_killed(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int live_on(int state_fd)
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

static int open_file(int state_fd)
{
	return open("/etc/passwd", O_RDONLY) >= 0 ? 1 : errno == EACCES ? 0 : 2;
}

static int open_to_write(int state_fd)
{
	return open("/tmp/symvm-test-never", O_WRONLY | O_CREAT, 0600) >= 0 ? 1
	       : errno == EACCES					    ? 0
									    : 2;
}

static int create_vm(int state_fd)
{
	return ioctl(STDERR_FILENO, KVM_CREATE_VM, 0) >= 0 ? 1 : 2;
}

static int run_program(int state_fd)
{
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

static int make_process(int state_fd)
{
	return fork() == 0 ? 0 : 1;
}

static int open_socket(int state_fd)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 7 : 8;
}

static int open_raw_socket(int state_fd)
{
	return socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ? 1 : 2;
}

static int map_executable(int state_fd)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? 2
		       : 1;
}

static int other_ioctl(int state_fd)
{
	ioctl(STDERR_FILENO, SIOCGIFCONF, NULL);
	return 7;
}

static int type_into_terminal(int state_fd)
{
	return ioctl(STDERR_FILENO, TIOCSTI, "x") == 0 ? 1 : 2;
}

static int open_unix_socket(int state_fd)
{
	return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 1 : 2;
}

static int trace_parent(int state_fd)
{
	return (int)syscall(SYS_ptrace, 16, getppid(), 0, 0);
}

static int unlink_own(int state_fd)
{
	return unlinkat(state_fd, "own.sock", 0) == 0 ? 0 : 1;
}

static int unlink_foreign(int state_fd)
{
	return unlinkat(AT_FDCWD, "/tmp/symvm-test-foreign", 0) < 0 && errno == EACCES ? 0 : 1;
}

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void each_thread_can_work(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++)
		expect_exit(in_jail(JAIL_ON, (enum jail_thread)kind, live_on), 0);
}

static void no_thread_can_break_out(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++) {
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, run_program));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, make_process));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, map_executable));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, open_raw_socket));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, create_vm));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, open_unix_socket));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, other_ioctl));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, type_into_terminal));
		expect_killed(in_jail(JAIL_ON, (enum jail_thread)kind, trace_parent));
	}
}

/* Where openat is not on the list at all it fails, for glibc's sake: see jail/compile.c. */
static void no_thread_writes_files(void **state)
{
	for (unsigned kind = 0; kind < JAIL_THREAD_COUNT; kind++) {
		int status = in_jail(JAIL_ON, (enum jail_thread)kind, open_to_write);

		if (kind == JAIL_THREAD_IO)
			expect_killed(status);
		else
			expect_exit(status, 0);
	}
}

static void a_vcpu_opens_nothing(void **state)
{
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_VCPU, open_file), 0);
	expect_killed(in_jail(JAIL_ON, JAIL_THREAD_VCPU, open_socket));
	expect_killed(in_jail(JAIL_ON, JAIL_THREAD_VCPU, unlink_own));
}

static void device_threads_open_sockets_but_no_files(void **state)
{
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, open_socket), 7);
	if (!landlock_supported())
		skip();
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_IO, open_file), 0);
}

static void the_main_thread_unlinks_its_own_files_alone(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/own.sock", dir);
	touch(path);
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_MAIN, unlink_own), 0);
	assert_int_equal(access(path, F_OK), -1);
	if (!landlock_supported())
		skip();
	touch("/tmp/symvm-test-foreign");
	expect_exit(in_jail(JAIL_ON, JAIL_THREAD_MAIN, unlink_foreign), 0);
	assert_int_equal(unlink("/tmp/symvm-test-foreign"), 0);
}

static void log_mode_lets_it_through(void **state)
{
	expect_exit(in_jail(JAIL_LOG, JAIL_THREAD_VCPU, open_socket), 7);
	expect_exit(in_jail(JAIL_LOG, JAIL_THREAD_VCPU, other_ioctl), 7);
}

static void trap_mode_names_the_call(void **state)
{
	int pipe_fds[2], saved = dup(STDERR_FILENO), status;
	char text[256] = "";

	assert_int_equal(pipe(pipe_fds), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	status = in_jail(JAIL_TRAP, JAIL_THREAD_VCPU, open_socket);
	dup2(saved, STDERR_FILENO);
	close(pipe_fds[1]);
	assert_true(read(pipe_fds[0], text, sizeof(text) - 1) > 0);
	close(pipe_fds[0]);
	close(saved);
	expect_exit(status, 1);
	assert_non_null(strstr(text, "system call 41"));
	assert_non_null(strstr(text, "vCPU thread"));
}

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_thread_can_work),
		cmocka_unit_test(no_thread_can_break_out),
		cmocka_unit_test(no_thread_writes_files),
		cmocka_unit_test(a_vcpu_opens_nothing),
		cmocka_unit_test(device_threads_open_sockets_but_no_files),
		cmocka_unit_test(the_main_thread_unlinks_its_own_files_alone),
		cmocka_unit_test(log_mode_lets_it_through),
		cmocka_unit_test(trap_mode_names_the_call),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
