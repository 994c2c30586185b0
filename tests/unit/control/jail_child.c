// SPDX-License-Identifier: BSD-2-Clause
#include "jail_child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vhost.h>
#include <net/if.h>
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
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "jail/guard.h"

struct scene scene = {.dir = "/tmp/symvm-test-XXXXXX"};

bool is_root(void)
{
	return geteuid() == 0;
}

void become_plain(void)
{
	if (is_root() && (setgroups(0, NULL) < 0 || setresgid(PLAIN_USER, PLAIN_USER, PLAIN_USER) ||
			  setresuid(PLAIN_USER, PLAIN_USER, PLAIN_USER)))
		_exit(NOT_MADE);
	/* As after a login: a change of user takes it away. */
	prctl(PR_SET_DUMPABLE, 1);
}

pid_t make_victim(void)
{
	pid_t victim = fork();

	if (victim == 0) {
		char byte;

		/* Lives until the test ends. PR_SET_PDEATHSIG would not work: the jail blocks its
		 * signal. */
		close(scene.life[1]);
		_exit(read(scene.life[0], &byte, 1) == 0 ? 0 : 1);
	}
	return victim;
}

/* Sockets of this process alone: a deed may change them. */
void open_sockets(void)
{
	scene.tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
	scene.udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
	scene.unix_fd = socket(AF_UNIX, SOCK_STREAM, 0);
}

static deed guards_deed;

static void act_in_guard(void *opaque, int dir_fd)
{
	scene.dir_fd = dir_fd;
	_exit(guards_deed() ? 1 : 0);
}

int run_in_guard(deed act)
{
	struct jail_guard guard;
	struct error err;
	int status;

	guards_deed = act;
	if (jail_guard_start(&guard, scene.dir_fd, act_in_guard, NULL, &err) < 0)
		return NOT_MADE;
	close(guard.fd);
	waitpid(guard.pid, &status, 0);
	return WIFSIGNALED(status) ? 0 : WEXITSTATUS(status);
}

int enter_process(enum jail_mode mode, unsigned features, struct jail **jail)
{
	const struct jail_needs needs = {.features = features, .memory = 1 << 30};
	static struct log log;
	struct jail_config config = {.mode = mode, .log = &log};
	struct error err;

	log_init(&log, STDERR_FILENO, LOG_LEVEL_ERROR);
	if (jail_create(&config, jail, &err) < 0 || jail_enter_process(*jail, &needs, &err) < 0)
		return NOT_MADE;
	return *jail ? 0 : NO_JAIL;
}

int enter_and_act(enum jail_mode mode, enum jail_thread kind, unsigned features, deed act)
{
	struct jail *jail;
	struct error err;
	int status = enter_process(mode, features, &jail);

	if (status)
		return status;
	if (jail_enter_thread(jail, kind, &err) < 0)
		return NOT_MADE;
	return act();
}

/* Runs @act in a jailed child; returns waitpid()'s status. */
int in_jail(enum jail_mode mode, enum jail_thread kind, unsigned features, bool plain, deed act)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (plain)
			become_plain();
		open_sockets();
		_exit(enter_and_act(mode, kind, features, act));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_JAIL)
		skip();
	return status;
}

void expect_exit(int status, int code)
{
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

void expect_killed(int status)
{
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int in_child(deed act)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(act());
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_JAIL)
		skip();
	return status;
}

void lack(int call, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {4, code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		_exit(NOT_MADE);
}
